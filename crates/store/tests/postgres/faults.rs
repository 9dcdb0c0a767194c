//! What becomes of a write whose connection is cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use store::{Access, Move, MoveStage, NewSource, Place, Store, StoreOptions};
use testkit::services::Postgres;
use types::TenantId;

/// When the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    /// The server never hears of the commit.
    BeforeCommit,
    /// The server commits, and its answer is lost.
    AfterCommit,
}

/// Between the store and its server; cuts one connection at the next commit of
/// changes.
struct Line {
    port: u16,
    cut: Arc<Mutex<Cut>>,
    cuts: Arc<AtomicUsize>,
}

impl Line {
    fn to(server: String) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(Mutex::new(Cut::Never));
        let cuts: Arc<AtomicUsize> = Arc::default();
        let (plan, count) = (cut.clone(), cuts.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let server = TcpStream::connect(&server).unwrap();
                let (plan, count) = (plan.clone(), count.clone());
                let answers = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let is_deaf: Arc<Mutex<bool>> = Arc::default();
                let deaf = is_deaf.clone();
                thread::spawn(move || carry_answers(answers.0, answers.1, &deaf));
                thread::spawn(move || carry_questions(client, server, &plan, &count, &is_deaf));
            }
        });
        Line { port, cut, cuts }
    }
}

fn carry_questions(
    mut client: TcpStream,
    mut server: TcpStream,
    plan: &Mutex<Cut>,
    cuts: &AtomicUsize,
    is_deaf: &Mutex<bool>,
) {
    let mut buffer = [0; 65_536];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let said = &buffer[..read];
        let commits = said.windows(14).any(|part| part == b"UPDATE commits");
        if commits {
            let cut = std::mem::replace(&mut *plan.lock().unwrap(), Cut::Never);
            if cut != Cut::Never {
                cuts.fetch_add(1, Ordering::SeqCst);
                *is_deaf.lock().unwrap() = true;
                if cut == Cut::AfterCommit {
                    server.write_all(said).unwrap();
                    // Answered once it is done.
                    return;
                }
                break;
            }
        }
        if server.write_all(said).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn carry_answers(mut server: TcpStream, mut client: TcpStream, is_deaf: &Mutex<bool>) {
    let mut buffer = [0; 65_536];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        if *is_deaf.lock().unwrap() || client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn source(number: usize) -> NewSource {
    NewSource {
        tenant: TenantId::DEFAULT,
        name: format!("source {number}"),
        seeds: vec![format!("https://{number}.example/")],
        policy: "{}".to_owned(),
    }
}

#[test]
fn a_write_is_done_once_whatever_becomes_of_its_connection() {
    let database = Postgres::fresh();
    let direct = database.url();
    let address = direct.split('@').nth(1).unwrap();
    let (address, name) = address.split_once('/').unwrap();
    let line = Line::to(address.to_owned());
    let url = format!("postgres://app@127.0.0.1:{}/{name}", line.port);
    let options = StoreOptions::default();
    let store = Store::open_server(&url, Access::Write, &options, crate::support::clock()).unwrap();
    let mut saved = Vec::new();
    for (number, cut) in [Cut::BeforeCommit, Cut::AfterCommit, Cut::Never]
        .into_iter()
        .cycle()
        .take(9)
        .enumerate()
    {
        *line.cut.lock().unwrap() = cut;
        saved.push(store.ensure_source(source(number)).unwrap());
        assert_eq!(*line.cut.lock().unwrap(), Cut::Never, "{cut:?} came");
        // Not done again, which would leave a gap.
        let commits: usize = database
            .sql("SELECT version FROM commits")
            .trim()
            .parse()
            .unwrap();
        assert_eq!(commits, number + 1, "{cut:?}");
    }
    assert_eq!(line.cuts.load(Ordering::SeqCst), 6);
    let stored = database.sql("SELECT count(*), count(DISTINCT name) FROM sources");
    assert_eq!(stored.trim(), "9|9");
    let listed = store.sources(TenantId::DEFAULT).unwrap();
    let listed: Vec<_> = listed.iter().map(|source| source.id).collect();
    assert_eq!(listed, saved);
}

/// Every batch of a move is there once, whatever becomes of its connection.
#[test]
fn a_move_is_complete_whatever_becomes_of_its_connections() {
    let clock = crate::support::clock();
    let start = Store::open_memory(clock.clone()).unwrap();
    for number in 0..400 {
        start.ensure_source(source(number)).unwrap();
    }
    let database = Postgres::fresh();
    let direct = database.url();
    let address = direct.split('@').nth(1).unwrap();
    let (address, name) = address.split_once('/').unwrap();
    let line = Line::to(address.to_owned());
    let place = Place::Server(format!("postgres://app@127.0.0.1:{}/{name}", line.port));
    let to = place.open_destination(&StoreOptions::default(), clock);
    let mut moving = Move::begin(start, to.unwrap()).unwrap();
    let mut cuts = [Cut::BeforeCommit, Cut::AfterCommit].into_iter().cycle();
    let tables = moving.run(&mut |progress| {
        if progress.stage == MoveStage::Copying {
            *line.cut.lock().unwrap() = cuts.next().unwrap();
        }
        ControlFlow::Continue(())
    });
    let rows: u64 = tables
        .unwrap()
        .unwrap()
        .iter()
        .map(|table| table.rows)
        .sum();
    assert!(rows > 400, "{rows}");
    assert!(line.cuts.load(Ordering::SeqCst) > 3);
    let stored = database.sql("SELECT count(*), max(id), nextval('sources_id_seq') FROM sources");
    assert_eq!(stored.trim(), "400|400|401");
}
