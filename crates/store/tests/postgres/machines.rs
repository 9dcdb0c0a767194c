//! Several stores on one database, as processes on several machines have it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use store::{Access, Claim, CrawlBatch, CrawlStatus, KindLimit, Store, StoreOptions, TaskEnd};
use store::{Finish, NewSource, TaskRef};
use testkit::services::Postgres;
use types::{Clock, SystemClock, TenantId};

use crate::suite::tasks::task;
use crate::support::{Site, page, stored, visit};

fn open(database: &Postgres) -> Store {
    let options = StoreOptions::default();
    let clock = Arc::new(SystemClock);
    Store::open_server(&database.pgbouncer_url(), Access::Write, &options, clock).unwrap()
}

/// Each store crawls a source of its own and takes tasks from one queue, all
/// at the same time, until nothing is left.
#[test]
fn stores_write_at_the_same_time_and_nothing_is_lost_or_done_twice() {
    const STORES: usize = 4;
    const PAGES: usize = 25;
    const TASKS: usize = 120;
    let database = Postgres::fresh();
    let first = open(&database);
    first.enqueue_tasks(vec![task("count"); TASKS]).unwrap();
    let run = |number: usize| {
        let store = open(&database);
        let source = store
            .ensure_source(NewSource {
                tenant: TenantId::DEFAULT,
                name: format!("site {number}"),
                seeds: vec![format!("https://site.example/{number}")],
                policy: "{}".to_owned(),
            })
            .unwrap();
        let site = Site {
            store: store.clone(),
            source,
            clock: crate::support::clock(),
        };
        let paths: Vec<String> = (0..PAGES).map(|n| format!("{number}/{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let crawl = site.crawl(&paths);
        let mut done = Vec::new();
        for row in site.queued(crawl) {
            let text = row.url.as_str().to_owned();
            store
                .commit_batch(CrawlBatch {
                    crawl,
                    visits: vec![visit(&row, stored(page(&text, &[&text, "and more"])))],
                    follow_ups: Vec::new(),
                })
                .unwrap();
            let claimed = store
                .claim_tasks(&Claim {
                    owner: store.instance().to_owned(),
                    kinds: vec![KindLimit {
                        kind: "count".to_owned(),
                        running_max: 0,
                    }],
                    limit: 3,
                    only: None,
                    lease_until: SystemClock.now().plus(Duration::from_secs(60)),
                })
                .unwrap();
            for task in claimed {
                let finish = Finish {
                    task: TaskRef {
                        id: task.id,
                        epoch: task.epoch,
                    },
                    end: TaskEnd::Succeeded { result: None },
                    follow_ups: Vec::new(),
                };
                store.finish_tasks(vec![finish]).unwrap();
                done.push(task.id);
            }
        }
        store
            .finish_crawl(crawl, CrawlStatus::Completed, None)
            .unwrap();
        done
    };
    let mut done = thread::scope(|scope| {
        let stores: Vec<_> = (0..STORES).map(|n| scope.spawn(move || run(n))).collect();
        let done = stores.into_iter().map(|store| store.join().unwrap());
        done.flatten().collect::<Vec<_>>()
    });
    done.sort_unstable();
    done.dedup();
    assert_eq!(done.len(), TASKS);
    let stats = first.stats().unwrap();
    assert_eq!(stats.pages_live, (STORES * PAGES) as u64);
    let sql = "SELECT count(*), count(DISTINCT change_seq), count(DISTINCT url) FROM pages";
    let pages = STORES * PAGES;
    assert_eq!(database.sql(sql).trim(), format!("{pages}|{pages}|{pages}"));
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.sql(sql).trim(), "0");
}

/// A store that is gone is told from one that lives, by all others.
#[test]
fn owners_are_lost_with_their_stores() {
    let database = Postgres::fresh();
    let (one, two) = (open(&database), open(&database));
    let names = [one.instance().to_owned(), two.instance().to_owned()];
    assert!(one.lost_owners(&names).is_empty());
    drop(two);
    assert_eq!(one.lost_owners(&names), [names[1].clone()]);
    let tagged = [format!("{}:tag", names[0]), "nobody".to_owned()];
    assert_eq!(one.lost_owners(&tagged), ["nobody"]);
}
