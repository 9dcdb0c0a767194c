//! The files in `deploy/`: valid to those who read them, and true of this
//! program. `./test` installs the tools.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::http::Running;
use crate::support::{command, ran};
use crate::tools::{check, root};

const CHART: &str = "deploy/helm/gleaner";
/// The oldest version that the chart claims, and the newest that is known.
const KUBERNETES: [&str; 2] = ["1.27", "1.37"];
const OF_OTHERS: [&str; 2] = ["keda.sh/v1alpha1", "monitoring.coreos.com/v1"];
const SERVE: [&str; 4] = ["serve", "--listen", "127.0.0.1:0", "--no-workers"];

fn path(name: &str) -> PathBuf {
    root().join(name)
}

pub fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
pub fn python(args: &[&str]) -> Value {
    let mut python = Command::new("test-python");
    let script = path("crates/gleaner/tests/it/manifests.py");
    let told = check(
        "test-python",
        python.arg(script).args(args).current_dir(root()),
        "",
    );
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{args:?}: {error}: {told}"))
}

/// The chart with its defaults, and with each file of `ci/`.
pub fn rendered() -> Vec<(String, Vec<Value>)> {
    let mut values = vec![String::new()];
    for entry in std::fs::read_dir(path(CHART).join("ci")).expect("values") {
        let name = entry.expect("entry").file_name();
        values.push(format!("{CHART}/ci/{}", name.to_str().expect("UTF-8")));
    }
    values.sort();
    let render = |values: String| {
        let mut args = vec!["render", CHART];
        args.extend(Some(values.as_str()).filter(|values| !values.is_empty()));
        let documents = python(&args).as_array().expect("documents").clone();
        (values, documents)
    };
    values.into_iter().map(render).collect()
}

fn compose() -> Value {
    python(&["yaml", "deploy/compose/docker-compose.yml"])
}

/// The containers of a document, of any kind that has some.
fn containers(document: &Value) -> Vec<&Value> {
    let listed = document.pointer("/spec/template/spec/containers");
    listed
        .and_then(Value::as_array)
        .map_or(Vec::new(), |all| all.iter().collect())
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}

/// One process as some file starts it.
struct Process {
    place: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Contents of its `gleaner.toml`.
    config: Option<String>,
}

fn processes() -> Vec<Process> {
    let mut processes = Vec::new();
    for (values, documents) in rendered() {
        let config = documents.iter().find(|d| d["kind"] == "ConfigMap");
        let config = config.expect("a ConfigMap")["data"]["gleaner.toml"].as_str();
        for document in &documents {
            for container in containers(document) {
                let env = container["env"].as_array().expect("env").iter();
                let args = texts(&container["args"]);
                processes.push(Process {
                    place: format!("{values} {}", document["metadata"]["name"]),
                    config: args
                        .iter()
                        .any(|arg| arg.starts_with("--config"))
                        .then(|| config.expect("a file").to_owned()),
                    env: env
                        .map(|set| {
                            let name = set["name"].as_str().expect("a name").to_owned();
                            // From a Secret.
                            let value = set["value"].as_str().unwrap_or("secret");
                            (name, value.to_owned())
                        })
                        .collect(),
                    args,
                });
            }
        }
    }
    for (name, service) in compose()["services"].as_object().expect("services") {
        let image = service["image"].as_str().expect("an image");
        if image.starts_with("gleaner:") {
            let env = service["environment"].as_object().expect("variables");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            processes.push(Process {
                place: format!("compose {name}"),
                args: texts(&service["command"]),
                env: env.iter().map(|(k, v)| (k.clone(), text(v))).collect(),
                config: None,
            });
        }
    }
    processes
}

#[test]
fn tools_that_read_these_files_accept_them() {
    let dir = tempfile::tempdir().expect("temp dir");
    let strict = ["--strict", "-c", "deploy/yamllint.yaml", "deploy"];
    let mut yamllint = Command::new("yamllint");
    check("yamllint", yamllint.args(strict).current_dir(root()), "");
    let mut schema = Command::new("check-jsonschema");
    schema.args(["--builtin-schema", "vendor.compose-spec"]);
    schema.arg(path("deploy/compose/docker-compose.yml"));
    check("check-jsonschema", &mut schema, "");
    let mut hadolint = Command::new("hadolint");
    check("hadolint", hadolint.arg(path("deploy/Dockerfile")), "");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "config", "--syntax-only"]);
    promtool.arg(path("deploy/compose/prometheus.yml"));
    check("promtool", &mut promtool, "");

    for message in python(&["lint", CHART]).as_array().expect("messages") {
        // 1 is a hint: a chart may be without an icon.
        assert!(message["severity"].as_i64() <= Some(1), "{message}");
    }
    for (n, (values, documents)) in rendered().into_iter().enumerate() {
        for (m, document) in documents.into_iter().enumerate() {
            let version = document["apiVersion"].as_str().expect("a version");
            if OF_OTHERS.contains(&version) {
                continue;
            }
            // JSON is YAML.
            let file = dir.path().join(format!("{n}-{m}.yaml"));
            std::fs::write(&file, document.to_string()).expect("written");
            for kubernetes in KUBERNETES {
                let mut validate = Command::new("kubernetes-validate");
                validate.args(["--strict", "--quiet", "-k", kubernetes]);
                let told = check(&format!("{values} {document}"), validate.arg(&file), "");
                assert_eq!(told, "", "{values} {document}");
            }
        }
    }
}

#[test]
fn the_chart_refuses_what_would_not_work() {
    let dir = tempfile::tempdir().expect("temp dir");
    let refuses = |values: Value, words: &str| {
        let file = dir.path().join("values.yaml");
        std::fs::write(&file, values.to_string()).expect("written");
        let script = path("crates/gleaner/tests/it/manifests.py");
        let output = Command::new("test-python")
            .arg(script)
            .args(["render", CHART])
            .arg(&file)
            .current_dir(root())
            .output()
            .expect("it starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{values}");
        assert!(told.contains(words), "{values}: {told}");
    };
    refuses(json!({"api": {"replica": 3}}), "replica");
    refuses(json!({"existingSecret": ""}), "existingSecret");
    let keda = json!({"enabled": true, "trigger": "prometheus", "minReplicas": 0});
    refuses(json!({"keda": keda}), "light tasks ask for no slots");
    let schema: Value =
        serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))).expect("JSON");
    let kinds =
        texts(&schema["properties"]["workers"]["items"]["properties"]["queues"]["items"]["enum"]);
    let ran = ran(&command(dir.path(), &["worker", "--queues", "none"])
        .output()
        .expect("the program starts"));
    assert!(
        ran.stderr.trim().ends_with(&kinds.join(", ")),
        "{}",
        ran.stderr
    );
}

/// Each command line is one that this program takes; each variable and each key
/// of a configuration file is read, and by nobody else.
#[test]
fn processes_are_started_with_what_exists() {
    let dir = tempfile::tempdir().expect("temp dir");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "a-secret").expect("written");
    let mut commands = BTreeSet::new();
    for process in processes() {
        let place = &process.place;
        commands.insert(process.args[0].clone());
        let mut args: Vec<&str> = process.args.iter().map(String::as_str).collect();
        args.push("--help");
        let helped = ran(&Command::new(env!("CARGO_BIN_EXE_gleaner"))
            .args(&args)
            .output()
            .expect("the program starts"));
        assert_eq!(helped.code, 0, "{place}: {args:?}: {}", helped.stderr);

        let file = dir.path().join("gleaner.toml");
        std::fs::write(&file, process.config.unwrap_or_default()).expect("written");
        let args = [
            "config",
            "--json",
            "--config",
            file.to_str().expect("UTF-8"),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
        command.args(args).env_clear().env("HOME", dir.path());
        for (name, value) in &process.env {
            let value = match value.starts_with("/run/secrets/") {
                true => secret.to_str().expect("UTF-8"),
                false => value,
            };
            command.env(name, value);
        }
        let shown = ran(&command.output().expect("the program starts"));
        assert_eq!(shown.code, 0, "{place}: {}", shown.stderr);
        for (name, _) in &process.env {
            let origin = format!("\"{name}\"");
            assert!(
                shown.stdout.contains(&origin),
                "{place}: {name} sets nothing"
            );
        }
    }
    let roles = ["scheduler", "serve", "upgrade", "worker"];
    assert_eq!(commands, roles.map(str::to_owned).into());
}

/// Names in guides and comments, too.
#[test]
fn variables_that_are_named_anywhere_exist() {
    let defaults: toml::Table = read("config/default.toml").parse().expect("TOML");
    let mut files = vec![
        path("docs/guides/scaling.md"),
        path("docs/guides/deploy.md"),
    ];
    let mut folders = vec![path("deploy")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    let mut found = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        for (at, _) in text.match_indices("GLEANER__") {
            let name: String = text[at..].chars().take_while(|c| is_word(*c)).collect();
            let name = name.trim_end_matches('_').to_ascii_lowercase();
            let parts: Vec<&str> = name.trim_start_matches("gleaner__").split("__").collect();
            let (section, keys) = parts.split_first().expect("a section");
            let within = |table: Option<&'_ toml::Value>, key: &&str| {
                let table = table?.as_table()?;
                let value = table.get(*key);
                value.or(table.get(key.trim_end_matches("_file"))).cloned()
            };
            let mut value = defaults.get(*section).cloned();
            for key in keys {
                value = within(value.as_ref(), key);
            }
            let exists = value.is_some() || *section == "section";
            assert!(exists, "{}: {name}", file.display());
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn ports_probes_and_versions_agree() {
    let defaults: toml::Table = read("config/default.toml").parse().expect("TOML");
    let listen = defaults["api"]["listen"].as_str().expect("an address");
    let port = listen.rsplit(':').next().expect("a port");
    let (http, metrics) = (format!("0.0.0.0:{port}"), "0.0.0.0:9464");
    for process in processes() {
        let line = process.args.join(" ").replace('=', " ");
        let listens = |flag: &str, at: &str| line.contains(&format!("{flag} {at}"));
        let role = process.args[0].as_str();
        assert_eq!(listens("--listen", &http), role == "serve", "{line}");
        let measured = ["serve", "worker"].contains(&role);
        assert_eq!(listens("--metrics-listen", metrics), measured, "{line}");
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let mut args = SERVE.to_vec();
    args.extend(["--metrics-listen", "127.0.0.1:0"]);
    let of_metrics = Running::start(dir.path(), &args, "metrics");
    let other = tempfile::tempdir().expect("temp dir");
    let server = Running::start(other.path(), &SERVE, "listening");

    let version = env!("CARGO_PKG_VERSION");
    let image = format!("gleaner:{version}");
    for (values, documents) in rendered() {
        for document in &documents {
            for container in containers(document) {
                let is = container["image"].as_str().expect("an image");
                assert!(is.ends_with(&image), "{values}: {is}");
                let ports = container["ports"].as_array();
                for named in ports.map(Vec::as_slice).unwrap_or_default() {
                    let expected = match named["name"].as_str() {
                        Some("http") => port,
                        _ => "9464",
                    };
                    assert_eq!(named["containerPort"].to_string(), expected);
                }
                for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                    let Some(get) = container.get(probe).map(|probe| &probe["httpGet"]) else {
                        let name = document["metadata"]["name"].as_str().expect("a name");
                        assert!(name.ends_with("scheduler") || name.ends_with("upgrade"));
                        continue;
                    };
                    assert_eq!(get["port"], "metrics", "{values}");
                    let path = get["path"].as_str().expect("a path");
                    of_metrics.get(path).is(200);
                }
            }
            for trigger in texts_of(document, "/spec/triggers") {
                let asked = &trigger["metadata"];
                let Some(url) = asked["url"].as_str() else {
                    continue;
                };
                let path = url.splitn(4, '/').nth(3).expect("a path");
                let answer = server.get(&format!("/{path}")).is(200).json();
                let value = &answer[asked["valueLocation"].as_str().expect("a field")];
                assert!(value.is_number(), "{path}: {answer}");
            }
        }
    }
    // What the balancer and Prometheus of the compose file ask.
    let balancer = read("deploy/compose/haproxy.cfg");
    let checked = balancer
        .lines()
        .find_map(|line| line.trim().strip_prefix("option httpchk GET "));
    server.get(checked.expect("a check")).is(200);
    let scraped = of_metrics.get("/metrics").is(200).body;
    assert!(scraped.contains("\nsuggested_workers "), "{scraped}");
    let services = compose()["services"].as_object().expect("services").clone();
    for server in ["gleaner-1", "gleaner-2"] {
        assert!(services.contains_key(server), "{server}");
        let line = format!("server {server} {server}:{port}");
        assert!(balancer.contains(&line), "{line}");
        let target = format!("\"{server}:9464\"");
        assert!(read("deploy/compose/prometheus.yml").contains(&target));
    }
    of_metrics.stop();
    server.stop();

    for service in services.values() {
        let is = service["image"].as_str().expect("an image");
        assert!(!is.starts_with("gleaner") || is == image, "{is}");
        assert!(is.contains(':') && !is.ends_with(":latest"), "{is}");
    }
    let chart = python(&["yaml", &format!("{CHART}/Chart.yaml")]);
    assert_eq!(
        (&chart["version"], &chart["appVersion"]),
        (&json!(version), &json!(version))
    );
    let docker = read("deploy/Dockerfile");
    let rust = format!("FROM rust:{}-slim-bookworm", env!("CARGO_PKG_RUST_VERSION"));
    assert!(docker.contains(&rust), "{rust}");
    assert!(docker.contains(&image), "{image}");
}

pub fn texts_of(document: &Value, pointer: &str) -> Vec<Value> {
    let found = document.pointer(pointer).and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}

/// A pod is stopped only after it had the time it was promised, may do nothing
/// but its work, and is bounded.
#[test]
fn pods_are_confined_and_have_time_to_end() {
    for (values, documents) in rendered() {
        for document in documents.iter().filter(|d| !containers(d).is_empty()) {
            let name = document["metadata"]["name"].as_str().expect("a name");
            let place = format!("{values} {name}");
            let pod = &document["spec"]["template"]["spec"];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{place}");
            let mut promised = 0;
            for container in containers(document) {
                let security = &container["securityContext"];
                assert_eq!(security["readOnlyRootFilesystem"], true, "{place}");
                assert_eq!(security["allowPrivilegeEscalation"], false, "{place}");
                assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{place}");
                let resources = &container["resources"];
                assert!(resources["requests"]["memory"].is_string(), "{place}");
                assert!(resources["limits"]["memory"].is_string(), "{place}");
                for set in container["env"].as_array().expect("env") {
                    let name = set["name"].as_str().expect("a name");
                    if name.ends_with("DRAIN_S") || name.ends_with("GRACE_S") {
                        let seconds: u64 = set["value"]
                            .as_str()
                            .expect("text")
                            .parse()
                            .expect("seconds");
                        promised += seconds;
                    }
                    if name.contains("URL") || name.contains("KEY") || name.contains("TOKEN") {
                        assert!(
                            set["valueFrom"]["secretKeyRef"]["key"].is_string(),
                            "{place}: {name}"
                        );
                    }
                }
            }
            let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
            assert!(grace > promised, "{place}: {grace} s for {promised} s");
        }
    }
    let defaults: toml::Table = read("config/default.toml").parse().expect("TOML");
    let seconds = |section: &str, key: &str| defaults[section][key].as_integer().expect("seconds");
    let longest =
        (seconds("api", "drain_s") + seconds("api", "grace_s")).max(seconds("worker", "grace_s"));
    for (name, service) in compose()["services"].as_object().expect("services") {
        if service["image"]
            .as_str()
            .is_some_and(|image| image.starts_with("gleaner:"))
        {
            let grace = service["stop_grace_period"].as_str().expect("a time");
            let grace: i64 = grace.trim_end_matches('s').parse().expect("seconds");
            assert!(grace > longest, "{name}: {grace} s for {longest} s");
        }
        assert!(
            service["deploy"]["resources"]["limits"]["memory"].is_string(),
            "{name}"
        );
    }
}

/// No password stands in a file, and each file that should have one is made.
#[test]
fn secrets_come_from_files_that_are_made() {
    let dir = tempfile::tempdir().expect("temp dir");
    let folder = dir.path().join("secrets");
    let make = || {
        let mut make = Command::new(path("deploy/compose/make-secrets"));
        check("make-secrets", make.arg(&folder), "");
        let mut made = Vec::new();
        for entry in std::fs::read_dir(&folder).expect("made") {
            let path = entry.expect("entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_str()
                .expect("UTF-8")
                .to_owned();
            made.push((name, std::fs::read_to_string(&path).expect("text")));
        }
        made.sort();
        made
    };
    let made = make();
    assert_eq!(make(), made, "made once");
    let compose = compose();
    let declared = compose["secrets"].as_object().expect("secrets");
    let names: Vec<&String> = made.iter().map(|(name, _)| name).collect();
    assert_eq!(declared.keys().collect::<Vec<_>>(), names);
    for (name, secret) in declared {
        assert_eq!(secret["file"], format!("./secrets/{name}"));
    }
    let text = read("deploy/compose/docker-compose.yml");
    for line in text
        .lines()
        .filter(|line| line.to_ascii_lowercase().contains("password"))
    {
        let is_reference =
            line.contains("/run/secrets/") || line.contains("secrets:") || line.contains("file:");
        assert!(is_reference || line.trim_start().starts_with('#'), "{line}");
    }
    // NATS itself reads its configuration with what was made.
    let nats = dir.path().join("nats.conf");
    std::fs::copy(path("deploy/compose/nats.conf"), &nats).expect("copied");
    std::fs::copy(folder.join("nats_auth"), dir.path().join("auth.conf")).expect("copied");
    let tools = std::env::var("TEST_TOOLS").expect("`./test` or `scripts/services run` set it");
    let output = Command::new(Path::new(&tools).join("python/bin/nats-server"))
        .arg("-t")
        .arg("-c")
        .arg(&nats)
        .output()
        .expect("it starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
