//! Many streams at once.

use std::sync::Arc;

use adjutant_core::model::LlmClient;
use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use crate::fake::{Fake, Step, done, event, finish, stream_head, text};
use crate::support::{ask, client, delta, read};

const STREAMS: usize = 500;

#[tokio::test]
async fn five_hundred_streams_run_beside_each_other() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let steps = vec![
        stream_head(),
        event(&text("begun ")),
        Step::Await(gate.clone()),
        event(&text("and done")),
        event(&finish("stop")),
        done(),
        Step::Close,
    ];
    let fake = Fake::start(vec![steps]).await;
    let client = client(&fake);
    // Nobody goes on before all have begun.
    let begun = join_all((0..STREAMS).map(|_| async {
        let mut stream = client.stream(ask("hello"));
        assert_eq!(delta(&mut stream).await, "begun ");
        stream
    }))
    .await;
    gate.add_permits(STREAMS);
    for told in join_all(begun.into_iter().map(read)).await {
        assert_eq!(told.end.unwrap().text, "begun and done");
    }
    assert_eq!(fake.count(), STREAMS);
}
