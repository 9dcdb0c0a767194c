//! `gleaner bench tenants`: many tenants at once, through the real edge.
//!
//! Each tenant has an API key and a website of its own on loopback. It creates
//! the website and waits for its crawl as a client of the API would, while others
//! search. The server is this binary as a process of its own; sites and clients
//! are in this one and share the machine with it.

mod client;
mod figures;
mod load;
mod report;
mod scrape;
mod server;
mod web;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use store::{Access, Scopes, Store};
use types::TenantId;

use self::figures::{Figures, Surroundings};
use self::load::{LoadPlan, RunEnd, Tenant};
use self::server::ServerProcess;
use self::web::{Web, WebPlan};
use super::crawl::fresh_folder;
use super::site::Interrupt;
use crate::app::{App, UsageError};
use crate::cli::output::{Exit, json_line, note, thousands};
use crate::cli::{BenchTenantsArgs, GlobalArgs};
use crate::operations::tenants as operations;
use crate::process;
use crate::tasks::LoadMeter;
use crate::view::QuotaView;

/// Limits are for tenants that ask too much; these are to be answered.
const REQUESTS_PER_MINUTE: u32 = 1_000_000;
const SLOTS_MAX: u32 = 10_000;

pub fn run(app: &App, global: &GlobalArgs, args: &BenchTenantsArgs) -> Result<Exit> {
    check(args)?;
    process::open_more_files();
    let folder = fresh_folder(app)?;
    let mut app = app.clone();
    app.config.data_dir = folder.path().to_owned();
    let interrupt = Interrupt::listen()?;
    let web = Web::serve(WebPlan {
        sites: args.tenants,
        pages: args.pages,
        latency: Duration::from_millis(args.latency_ms),
        error_rate: args.error_rate,
    })?;
    let made = make_tenants(&app, args, &web)?;
    note(format!(
        "{} tenants with {} pages each; at most {} s",
        thousands(args.tenants as u64),
        thousands(args.pages as u64),
        thousands(args.duration_s)
    ));
    let ran = put_load(&app, global, args, &web, &made, &interrupt, folder.path());
    let shut_out = shut_out(&app, &made.ids);
    let figures = ran?;
    shut_out?;
    if app.json {
        json_line(&report::view(args, &figures))?;
    } else {
        report::print(args, &figures)?;
    }
    match figures.end {
        RunEnd::Complete => Ok(Exit::Ok),
        RunEnd::TimeLimit | RunEnd::Interrupted => Ok(Exit::Partly),
        RunEnd::ServerDied => bail!("the server ended before the load did"),
    }
}

fn check(args: &BenchTenantsArgs) -> Result<()> {
    if !(0.0..=1.0).contains(&args.error_rate) {
        return Err(UsageError("--error-rate is a share, 0 to 1".to_owned()).into());
    }
    if args
        .slots
        .is_some_and(|slots| !(1..=SLOTS_MAX).contains(&slots))
    {
        return Err(UsageError(format!("--slots is 1 to {SLOTS_MAX}")).into());
    }
    Ok(())
}

/// The tenants of this run, and what the database had counted before it.
struct Made {
    tenants: Arc<Vec<Tenant>>,
    ids: Vec<TenantId>,
    deadlocks: Option<u64>,
}

fn make_tenants(app: &App, args: &BenchTenantsArgs, web: &Web) -> Result<Made> {
    let store = app.open_store(Access::Write)?;
    check_database(&store, args)?;
    let now = app.clock.now();
    let (mut tenants, mut ids) = (Vec::new(), Vec::new());
    for number in 0..args.tenants {
        // Unique to the run, so that a database may see several.
        let name = format!("bench-{:x}-{number}", now.0);
        let quota = QuotaView {
            requests_per_minute: Some(REQUESTS_PER_MINUTE),
            ..QuotaView::default()
        };
        let tenant = operations::create(&store, &name, quota)?;
        let (key, _) = operations::create_key(&store, tenant.id, &name, Scopes::WRITE, None, now)?;
        ids.push(tenant.id);
        tenants.push(Tenant {
            key: key.reveal().to_owned(),
            site: web.url(number),
        });
    }
    let deadlocks = store.deadlocks()?;
    store.close()?;
    Ok(Made {
        tenants: Arc::new(tenants),
        ids,
        deadlocks,
    })
}

/// A server's database may be somebody's.
fn check_database(store: &Store, args: &BenchTenantsArgs) -> Result<()> {
    let tenants = store.tenants()?.len();
    let sources = store.sources_page(TenantId::DEFAULT, None, 1)?.len();
    let pages = store.stats()?.pages;
    let tasks: u64 = store
        .queue_status(None)?
        .iter()
        .map(|count| count.scheduled + count.queued + count.running)
        .sum();
    if tenants <= 1 && sources == 0 && pages == 0 && tasks == 0 {
        return Ok(());
    }
    if !args.reuse_database {
        return Err(UsageError(format!(
            "the configured database is not empty ({} pages, {} tenants): a load test would write \
             into it and run its tasks. Name an empty one, or give --reuse-database",
            thousands(pages),
            thousands(tenants as u64)
        ))
        .into());
    }
    note(format!(
        "warning: the database has {} pages and {} tenants already; tasks that wait there are run, and \
         {} more tenants are left there",
        thousands(pages),
        thousands(tenants as u64),
        thousands(args.tenants as u64)
    ));
    Ok(())
}

/// Nobody is to come back with a key of the run. A folder goes as a whole.
fn shut_out(app: &App, tenants: &[TenantId]) -> Result<()> {
    if app.config.store.database_url.is_empty() {
        return Ok(());
    }
    let store = app.open_store(Access::Write)?;
    for tenant in tenants {
        store.set_tenant_active(*tenant, false)?;
    }
    Ok(store.close()?)
}

fn put_load(
    app: &App,
    global: &GlobalArgs,
    args: &BenchTenantsArgs,
    web: &Web,
    made: &Made,
    interrupt: &Interrupt,
    folder: &Path,
) -> Result<Figures> {
    let slots = args.slots.map(|slots| slots as usize);
    let settings = slots.map(|slots| {
        let name = "GLEANER__WORKER__SLOTS_MAX".to_owned();
        (name, slots.to_string())
    });
    let settings: Vec<_> = settings.into_iter().collect();
    let interrupted = interrupt.rearm()?;
    let mut server = ServerProcess::start(global, folder, &settings)?;
    let plan = LoadPlan {
        server: server.address,
        tenants: made.tenants.clone(),
        // One more, so that no crawl ends because of it.
        pages_max: args.pages + 1,
        searchers: args.searchers,
        limit: Duration::from_secs(args.duration_s),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the clients' runtime")?;
    let mut meter = LoadMeter::default();
    meter.read(0);
    let seen = runtime.block_on(load::run(&plan, &mut server, interrupted));
    let machine_busy = meter.read(0).cpu;
    let memory_peak_bytes = server.memory_peak_bytes();
    let grace = Duration::from_secs(app.config.worker.grace_s);
    let in_order = server.stop(grace)?;
    if !in_order {
        note("warning: the server did not end in order");
    }
    let store = app.open_store(Access::Read)?;
    let deadlocks = match (made.deadlocks, store.deadlocks()?) {
        (Some(before), Some(after)) => Some(after.saturating_sub(before)),
        _ => None,
    };
    let surroundings = Surroundings {
        database: match app.config.store.database_url.is_empty() {
            true => "embedded",
            false => "postgresql",
        },
        slots_max: slots.unwrap_or(app.config.worker.slots_max),
        embeds: app.config.embed.provider != crate::config::EmbedProvider::Off,
        memory_peak_bytes,
        machine_busy,
        deadlocks,
        web: web.totals(),
    };
    Ok(Figures::of(args.pages, seen?, surroundings))
}
