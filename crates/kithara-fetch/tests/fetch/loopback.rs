//! Over real sockets, on several threads.

use kithara_fetch::{FetchOptions, FetchRequest, Fetcher};
use kithara_net::{Client, NetworkOptions};
use kithara_origin::{At, Fault, Origin, Rule, Site};

use crate::support::*;

const LEN: u64 = 2 << 20;

fn fetcher(store: &Stores) -> Fetcher {
    let client = Client::new(NetworkOptions::default()).unwrap();
    Fetcher::new(client, Some(store.store.clone()), FetchOptions::default())
}

fn expected() -> Vec<u8> {
    let mut bytes = vec![0; LEN as usize];
    kithara_origin::pattern_bytes(7, 0, &mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_of_one_resource_send_one_request() {
    let origin = Origin::start(Site::new().pattern("/a.ts", 7, LEN)).unwrap();
    let request = request_of(&origin.url("/a.ts"));
    for store in &both_stores() {
        origin.clear_log();
        let fetcher = fetcher(store);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let delivery = fetcher.fetch(request.clone());
                tokio::spawn(delivery.collect(u64::MAX))
            })
            .collect();
        for reader in readers {
            assert!(reader.await.unwrap().unwrap() == expected());
        }
        assert_eq!(origin.log().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_body_and_a_dropped_fetch_cost_no_byte_twice() {
    let truncated = Rule::on("/a.ts").nth(1).then(Fault::truncate(At::Byte(LEN / 2)));
    let origin = Origin::start(Site::new().pattern("/a.ts", 7, LEN).rule(truncated)).unwrap();
    let request = request_of(&origin.url("/a.ts"));
    for store in &both_stores() {
        let fetcher = fetcher(store);
        let front = FetchRequest { range: Some(0..LEN / 4), ..request.clone() };
        assert!(fetcher.fetch(front).collect(LEN).await.unwrap() == expected()[..LEN as usize / 4]);
        settle(&store.store).await;
        assert!(fetcher.fetch(request.clone()).collect(LEN).await.unwrap() == expected());
        settle(&store.store).await;
        let before = origin.log().len();
        assert!(fetcher.fetch(request.clone()).collect(LEN).await.unwrap() == expected());
        assert_eq!(origin.log().len(), before, "the third reading is the store's");
    }
}
