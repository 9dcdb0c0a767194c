//! The command line: arguments in, exit code out. One file per command.

mod args;
mod ask;
mod completions;
mod config;
pub mod crawl;
mod crawl_log;
mod crawl_report;
mod data_args;
mod demo;
mod doctor;
mod events;
mod export;
pub mod extract;
mod here;
mod import;
mod live;
mod measure_args;
mod migrate;
mod model;
pub mod output;
mod page;
mod record;
mod record_rules;
mod reindex;
pub mod search;
mod serve;
mod service_args;
mod shard;
mod source;
mod stop;
mod summarize;
mod task;
mod tenant;
mod text_args;
mod upgrade;
mod webhook;
mod webhook_args;
mod worker;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use toml::Value;

pub use args::GlobalArgs;
use args::{Cli, Command};
pub use measure_args::{
    BenchCommand, BenchCrawlArgs, BenchQueueArgs, BenchSearchArgs, BenchTenantsArgs, EvalCommand,
    EvalRetrievalArgs, EvalSummariesArgs,
};
use output::{Exit, note};

use crate::app::{App, UsageError};
use crate::config::{Loaded, LogFormat, Override};

pub fn main() -> ExitCode {
    // clap prints its own errors and help, and exits with 2 on wrong usage.
    let cli = Cli::parse();
    // Started by a crawl with an empty environment: it has no use for configuration.
    if let Command::PdfChild {
        url,
        memory_mb,
        text_bytes_max,
    } = &cli.command
    {
        return match crate::pipeline::pdf::run_child(url, *memory_mb, *text_bytes_max) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&cli, &error),
        };
    }
    let loaded = match load_config(&cli) {
        Ok(loaded) => loaded,
        Err(error) => {
            note(format!("error: {error:#}"));
            return ExitCode::from(Exit::Usage as u8);
        }
    };
    if let Err(error) = start_logging(&loaded) {
        note(format!("error: {error:#}"));
        return ExitCode::from(Exit::Usage as u8);
    }
    let (ran, absent) = store::noting_absent(|| run(&cli, &loaded));
    match ran {
        Ok(exit) if !absent.is_empty() && !goes_on(&cli.command) => {
            let absent = absent.join(", ");
            note(format!(
                "{absent} did not answer: what is there is missing here"
            ));
            let partly = if exit == Exit::Ok { Exit::Partly } else { exit };
            ExitCode::from(partly as u8)
        }
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&cli, &error),
    }
}

/// Whether it runs until it is stopped: what did not answer when it started may
/// have come back long ago.
fn goes_on(command: &Command) -> bool {
    match command {
        Command::Serve(_) | Command::Worker(_) => true,
        Command::Scheduler(args) => !args.once,
        _ => false,
    }
}

fn failed(cli: &Cli, error: &anyhow::Error) -> ExitCode {
    if cli.global.json {
        let text = serde_json::json!({ "error": { "message": format!("{error:#}") } });
        note(text.to_string());
    } else {
        note(format!("error: {error:#}"));
    }
    let exit = match error.downcast_ref::<UsageError>() {
        Some(_) => Exit::Usage,
        None => Exit::Failed,
    };
    ExitCode::from(exit as u8)
}

fn run(cli: &Cli, loaded: &Loaded) -> Result<Exit> {
    let app = App::new(
        loaded.config.clone(),
        cli.global.json,
        cli.global.data_dir.is_some(),
    );
    match &cli.command {
        Command::Crawl(args) => crawl::run(&app, args),
        Command::Search(args) => search::run(&app, args),
        Command::Ask(args) => ask::run(&app, args),
        Command::Extract(args) => extract::run(&app, args),
        Command::Embed => crawl::embed(&app),
        Command::Summarize(args) => summarize::run(&app, args),
        Command::Source(command) => source::run(&app, command),
        Command::Task(command) => task::run(&app, command),
        Command::Serve(args) => serve::run(&app, args),
        Command::Openapi => serve::openapi(),
        Command::Worker(args) => worker::run(&app, args),
        Command::Scheduler(args) => worker::schedule(&app, args),
        Command::Tenant(command) => tenant::run(&app, command),
        Command::Key(command) => tenant::run_key(&app, command),
        Command::Webhook(command) => webhook::run(&app, command),
        Command::Events(command) => events::run(&app, command),
        Command::Shard(command) => shard::run(&app, command),
        Command::Page(command) => page::run(&app, command),
        Command::Record(command) => record::run(&app, command),
        Command::Import(args) => import::run(&app, args),
        Command::Export(args) => export::run(&app, args),
        Command::Migrate(args) => migrate::run(&app, args),
        Command::Reindex => reindex::run(&app),
        Command::Model(command) => model::run(&app, command),
        Command::Demo => demo::run(&app),
        Command::Doctor => doctor::run(&app),
        Command::Upgrade { contract } => upgrade::run(&app, *contract),
        Command::Config => config::run(&app, loaded),
        Command::Eval(command) => crate::eval::run(&app, command),
        Command::Bench(command) => crate::bench::run(&app, &cli.global, command),
        Command::Completions { shell } => completions::run(*shell),
        Command::PdfChild {
            url,
            memory_mb,
            text_bytes_max,
        } => {
            crate::pipeline::pdf::run_child(url, *memory_mb, *text_bytes_max)?;
            Ok(Exit::Ok)
        }
    }
}

fn load_config(cli: &Cli) -> Result<Loaded> {
    let mut overrides = Vec::new();
    let GlobalArgs {
        data_dir,
        config,
        log,
        ..
    } = &cli.global;
    if let Some(dir) = data_dir {
        let text = dir.to_str().context("--data-dir is not valid UTF-8")?;
        push(
            &mut overrides,
            "data_dir",
            "--data-dir",
            Value::String(text.to_owned()),
        );
    }
    if let Some(log) = log {
        push(
            &mut overrides,
            "log.level",
            "--log",
            Value::String(log.clone()),
        );
    }
    if let Command::Search(args) = &cli.command {
        if let Some(mode) = &args.mode {
            push(
                &mut overrides,
                "search.mode",
                "--mode",
                Value::String(mode.clone()),
            );
        }
        if let Some(limit) = args.limit {
            push(
                &mut overrides,
                "search.limit",
                "--limit",
                integer(limit as u64),
            );
        }
    }
    crate::config::load(config.as_deref(), std::env::vars(), &overrides)
}

fn push(overrides: &mut Vec<Override>, key: &'static str, flag: &'static str, value: Value) {
    overrides.push(Override { key, value, flag });
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn start_logging(loaded: &Loaded) -> Result<()> {
    use tracing_subscriber::EnvFilter;
    let settings = &loaded.config.log;
    // The HTML parser warns of markup that every browser repairs without a word.
    let filter = EnvFilter::try_new(format!("html5ever=error,{}", settings.level))
        .with_context(|| format!("log.level `{}` is no level or filter", settings.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().with_current_span(false).init(),
    }
    Ok(())
}

/// `gleaner page list | head` is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|json| json.io_error_kind() == Some(std::io::ErrorKind::BrokenPipe))
    })
}
