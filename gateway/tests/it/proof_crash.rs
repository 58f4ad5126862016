//! The crash test: the real binary with its embedded database is killed with -9 while it works, at
//! random points and right after what matters, beside a referee that believes only the
//! acknowledgements its clients received and the effects that its own tool servers counted.

mod aim;
mod arena;
mod client;
mod referee;
mod server;
mod workers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::Provider;
use tokio::task::JoinHandle;

use self::aim::{Kills, Moment, Random};
use self::arena::{Arena, PATIENCE};
use self::server::Folder;
use self::workers::{edits, habits, talks, uploads};

/// Four who talk, and two of each other kind.
const TALKS: u64 = 4;
const OTHERS: u64 = 2;
/// A kill falls within so many microseconds after its moment.
const SCATTER: u64 = 4_000;

#[cfg(not(feature = "fault-early-ack"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_seventy_kills_lose_nothing_acknowledged_and_double_no_effect() {
    let wanted = Kills::of(&[
        (Moment::Anything, 12),
        (Moment::Message, 6),
        (Moment::Decision, 12),
        (Moment::Effect, 12),
        (Moment::Uploading, 8),
        (Moment::File, 6),
        (Moment::Branch, 7),
        (Moment::Thread, 7),
    ]);
    let verdict = trial(&wanted).await;
    let Verdict { seed, acknowledged, decided, kept, .. } = verdict;
    assert!(verdict.faults.is_empty(), "seed {seed}: {:#?}", verdict.faults);
    assert_eq!(verdict.kills, wanted, "seed {seed}");
    assert!(acknowledged >= 70 && decided >= 12 && kept >= 6, "seed {seed}: it did too little");
}

/// The referee must notice a server that acknowledges before it commits.
#[cfg(feature = "fault-early-ack")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proof_an_early_acknowledgement_is_noticed() {
    let moments = [Moment::Message, Moment::Decision, Moment::File, Moment::Branch, Moment::Thread];
    let wanted = Kills::of(&moments.map(|moment| (moment, 4)));
    let Verdict { seed, kills, acknowledged, decided, kept, faults } = trial(&wanted).await;
    assert_eq!(kills, wanted, "seed {seed}");
    for either in [
        ["the acknowledged message t", "the acknowledged run"],
        ["is asked again after its acknowledged decision", "the acknowledged decision about"],
        ["the acknowledged file", "is not stored"],
        // Of an edited message, and of a further answer.
        ["edit is lost", "again is none"],
        ["the acknowledged change", "the acknowledged switch"],
    ] {
        let is_noticed = faults.iter().any(|fault| either.iter().any(|part| fault.contains(part)));
        let work = format!("{acknowledged} messages, {decided} decisions and {kept} files");
        assert!(is_noticed, "seed {seed}: a fault in {work} was not noticed ({either:?}): {faults:#?}");
    }
}

struct Verdict {
    seed: u64,
    kills: Kills,
    acknowledged: usize,
    decided: usize,
    kept: usize,
    faults: Vec<String>,
}

async fn trial(wanted: &Kills) -> Verdict {
    let seed = seed();
    let mut random = Random(seed);
    let tools = [EffectServer::start().await, EffectServer::start().await, EffectServer::start().await];
    let provider = Provider::start(workers::script).await;
    let folder = Folder::new(seed, &[("effects", &tools[0]), ("ownh0", &tools[1]), ("ownh1", &tools[2])]);
    let arena = Arc::new(Arena::new(server::free_port().await, seed));
    for server in &tools {
        watch(server, &arena);
    }

    let mut server = server::start(&folder, &provider.base_url(), &arena).await;
    let people = People::start(&arena, &random);
    let effects = || -> HashMap<String, u32> { tools.iter().flat_map(EffectServer::effects).collect() };
    let mut kills = Kills::default();
    for moment in wanted.shuffled(&mut random) {
        let passes = random.below(if moment == Moment::Anything { 40 } else { 4 });
        let fired = tokio::time::timeout(PATIENCE, arena.aim.at(moment, passes)).await;
        assert!(fired.is_ok(), "seed {seed}: {moment:?} does not come any more: {:#?}", arena.referee.faults());
        // A random point within what follows the event; not a wait for anything.
        tokio::time::sleep(Duration::from_micros(random.below(SCATTER))).await;
        server::kill(server, &arena).await;
        kills.count(moment);
        arena.referee.look_between(&effects());
        server = server::start(&folder, &provider.base_url(), &arena).await;
    }
    arena.stop.send_replace(true);
    let files = people.end(&arena).await;

    let effects = effects();
    arena.referee.audit(&arena, &effects).await;
    for files in &files {
        files.audit(&arena, &provider).await;
    }
    uploads::audit_stored(&files, &mut folder.database().await, &arena.referee).await;
    server::kill(server, &arena).await;

    let mut faults = arena.referee.faults();
    faults.extend(provider.faults());
    let (acknowledged, decided) = (arena.referee.acknowledged(), arena.referee.decided());
    let kept = files.iter().map(uploads::Believed::kept).sum();
    println!("crash test: seed {seed}, kills: {kills}");
    println!("{acknowledged} acknowledged, {decided} decisions, {} effects, {kept} files", effects.len());
    let (late, unknown) = (arena.referee.late_effects(&effects), arena.referee.unknown());
    let cut: usize = files.iter().map(uploads::Believed::cut).sum();
    println!(
        "crashes fell between {late} decisions and their effects, {unknown} effects and their results, into {cut} uploads"
    );
    Verdict { seed, kills, acknowledged, decided, kept, faults }
}

/// Says when something arrives at a tool.
fn watch(server: &EffectServer, arena: &Arc<Arena>) {
    let (server, arena) = (server.clone(), Arc::clone(arena));
    let mut arrivals = server.arrivals();
    let mut before = 0;
    tokio::spawn(async move {
        while arrivals.changed().await.is_ok() {
            let effects = server.effects().values().sum();
            arena.see(if effects > before { Moment::Effect } else { Moment::Anything });
            before = effects;
        }
    });
}

/// Everybody at work.
struct People {
    others: Vec<JoinHandle<()>>,
    uploaders: Vec<JoinHandle<uploads::Believed>>,
}

impl People {
    fn start(arena: &Arc<Arena>, random: &Random) -> Self {
        let chance = |kind: u64, number: u64| random.fork(kind * 100 + number);
        let mut others: Vec<JoinHandle<()>> = Vec::new();
        for number in 0..TALKS {
            others.push(tokio::spawn(talks::work(Arc::clone(arena), format!("t{number}"), chance(0, number))));
        }
        let mut uploaders = Vec::new();
        for number in 0..OTHERS {
            others.push(tokio::spawn(habits::work(Arc::clone(arena), format!("h{number}"), chance(1, number))));
            others.push(tokio::spawn(edits::work(Arc::clone(arena), format!("e{number}"), chance(2, number))));
            uploaders.push(tokio::spawn(uploads::work(Arc::clone(arena), format!("f{number}"), chance(3, number))));
        }
        Self { others, uploaders }
    }

    /// Until each has seen the last thing to its end.
    async fn end(self, arena: &Arena) -> Vec<uploads::Believed> {
        for worker in self.others {
            ended(worker, arena).await;
        }
        let mut files = Vec::new();
        for worker in self.uploaders {
            files.push(ended(worker, arena).await);
        }
        files
    }
}

async fn ended<T>(worker: JoinHandle<T>, arena: &Arena) -> T {
    let end = tokio::time::timeout(PATIENCE * 2, worker).await;
    end.unwrap_or_else(|_| panic!("seed {}: something does not end: {:#?}", arena.seed, arena.referee.faults()))
        .unwrap()
}

/// Fresh each time; `ADJUTANT_CRASH_SEED` repeats one.
fn seed() -> u64 {
    std::env::var("ADJUTANT_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_micros()).unwrap() | 1
    })
}
