//! Attempts, waits, deadlines and breakers.

use std::sync::{Arc, Mutex};

use kithara_net::breaker::BreakerPolicy;
use kithara_net::retry::Patience;
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use kithara_net::{Attempt, ErrorKind, NetworkOptions};
use tokio::time::{Instant, timeout};

use super::*;

const URL: &str = "http://h/a";

fn origin(replies: impl IntoIterator<Item = Reply>) -> ScriptedTransport {
    ScriptedTransport::new().on(URL, replies)
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_survived() {
    use ErrorKind::*;
    let failures = [Dns, Connect, ConnectTimeout, Disconnected, Protocol].map(Reply::failure);
    let statuses = [408, 425, 429, 500, 502, 503, 504, 202].map(Reply::status);
    for failure in failures.into_iter().chain(statuses) {
        let origin = origin([failure.clone(), failure.clone(), failure, Reply::resource("good")]);
        let begun = Instant::now();
        assert_eq!(fetch(&client(&origin), get(URL)).await.unwrap(), "good");
        assert_eq!(origin.requests().len(), 4);
        assert!(begun.elapsed() <= ms(1750), "three quick waits");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_go_up_at_once_with_their_meaning() {
    let table = [
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Forbidden),
        (404, ErrorKind::NotFound),
        (410, ErrorKind::Gone),
        (400, ErrorKind::Rejected),
        (451, ErrorKind::Rejected),
        (304, ErrorKind::Rejected),
    ];
    for (status, want) in table {
        let origin = origin([Reply::status(status)]);
        let error = client(&origin).fetch(get(URL)).await.unwrap_err();
        assert_eq!((error.kind(), error.status(), error.attempts()), (want, Some(status), 1));
        assert_eq!(origin.requests().len(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_202_is_never_the_resource() {
    let origin = origin([Reply::status(202).body("generating")]);
    let error = client(&origin).fetch(get(URL)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotReady, 4));
}

#[tokio::test(start_paused = true)]
async fn an_endless_503_costs_the_origin_a_handful_of_requests() {
    for (patience, most) in [(None, 4), (Some(Patience::default()), 8)] {
        let origin = origin([Reply::status(503)]);
        let mut request = get(URL);
        if let Some(patience) = patience {
            request = request.patience(patience);
        }
        let begun = Instant::now();
        let error = client(&origin).fetch(request).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::ServerError, most));
        assert_eq!(origin.requests().len(), most as usize);
        assert!(begun.elapsed() < secs(20));
    }
}

/// An origin that fails for `outage`, then works.
fn away(outage: Duration, failure: Reply) -> ScriptedTransport {
    let begun = Instant::now();
    ScriptedTransport::new().otherwise(move |sent| match sent.at.duration_since(begun) < outage {
        true => failure.clone(),
        false => Reply::resource("good"),
    })
}

#[tokio::test(start_paused = true)]
async fn patience_survives_fifteen_seconds_of_anything_within_twenty() {
    let hangs = Reply::status(200).after(secs(100_000));
    let refused = Reply::failure(ErrorKind::Connect);
    let slow_refusal = Reply::failure(ErrorKind::ConnectTimeout).after(secs(5));
    let stalls = Reply::resource("good").stalls_after(0);
    for failure in [hangs, refused, slow_refusal, stalls, Reply::status(503), Reply::status(500).after(ms(300))] {
        // Chance decides the waits; the promise must hold for all of them.
        for _ in 0..20 {
            let origin = away(secs(15), failure.clone());
            let begun = Instant::now();
            let got = fetch(&client(&origin), get(URL).patience(Patience::default())).await;
            assert_eq!(got.unwrap(), "good");
            assert!(begun.elapsed() < secs(20), "{:?} {failure:?}", begun.elapsed());
            assert!(origin.requests().len() <= 8, "{}", origin.requests().len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn patience_costs_an_origin_that_never_recovers_eight_requests_at_most() {
    let hangs = Reply::status(200).after(secs(100_000));
    let stalls = Reply::resource("good").stalls_after(0);
    let cut = Reply::resource(pattern(1000)).ignores_ranges().ends_after(500);
    let quick = [Reply::failure(ErrorKind::Connect), cut, Reply::status(503), Reply::status(500).after(ms(300))];
    let slow = [hangs, Reply::failure(ErrorKind::ConnectTimeout).after(secs(5)), stalls];
    for (failures, range) in [(&quick[..], 8..=8), (&slow[..], 3..=5)] {
        for failure in failures {
            for _ in 0..20 {
                let origin = origin([failure.clone()]);
                let begun = Instant::now();
                let error = fetch(&client(&origin), get(URL).patience(Patience::default())).await.unwrap_err();
                assert_eq!(error.attempts() as usize, origin.requests().len());
                assert!(range.contains(&error.attempts()), "{} {failure:?}", error.attempts());
                assert!(begun.elapsed() < secs(25), "{:?} {failure:?}", begun.elapsed());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for() {
    for retry_after in ["3", "Sun, 06 Nov 1994 08:49:40 GMT"] {
        let busy =
            Reply::status(503).header("retry-after", retry_after).header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let origin = origin([busy.clone(), busy, Reply::resource("good")]);
        let begun = Instant::now();
        assert_eq!(fetch(&client(&origin), get(URL)).await.unwrap(), "good");
        assert!(begun.elapsed() >= secs(6) && begun.elapsed() < ms(6600), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn patience_survives_fifteen_seconds_with_any_wait_that_fits() {
    for retry_after in ["7", "10", "15"] {
        for _ in 0..10 {
            let origin = away(secs(15), Reply::status(503).header("retry-after", retry_after));
            let begun = Instant::now();
            let got = fetch(&client(&origin), get(URL).patience(Patience::default())).await;
            assert_eq!(got.unwrap(), "good", "{retry_after}");
            assert!(begun.elapsed() < ms(18_600), "{:?} {retry_after}", begun.elapsed());
            assert!(origin.requests().len() <= 4, "{}", origin.requests().len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_deadline_is_reported_instead_of_waited_for() {
    let origin = origin([Reply::status(429).header("retry-after", "25")]);
    let begun = Instant::now();
    let error = client(&origin).fetch(get(URL).deadline(secs(20))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Throttled, Some(secs(25))));
    assert_eq!(begun.elapsed(), secs(0));
}

#[tokio::test(start_paused = true)]
async fn a_missing_first_byte_is_noticed() {
    let origin = origin([Reply::resource("late").after(secs(11)), Reply::resource("good")]);
    let begun = Instant::now();
    assert_eq!(fetch(&client(&origin), get(URL)).await.unwrap(), "good");
    assert!(begun.elapsed() >= secs(10) && begun.elapsed() < secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_late_first_byte_is_waited_for() {
    let origin = origin([Reply::resource("late").after(secs(9))]);
    let response = client(&origin).fetch(get(URL).patience(Patience::default())).await.unwrap();
    assert_eq!(response.head.time_to_first_byte, secs(9));
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_every_kind_of_wait() {
    let hanging = [
        Reply::status(200).after(secs(1000)),
        Reply::failure(ErrorKind::Connect).after(ms(1900)),
        Reply::resource(pattern(9000)).in_chunks(2000, secs(1)),
        Reply::resource(pattern(9000)).stalls_after(10),
    ];
    for reply in hanging {
        let origin = origin([reply.clone()]);
        let begun = Instant::now();
        let kind = fetch_error(&client(&origin), get(URL).deadline(ms(2000))).await;
        assert!(matches!(kind, ErrorKind::Deadline | ErrorKind::Connect), "{kind:?} {reply:?}");
        assert!(begun.elapsed() <= ms(2000), "{:?} {reply:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_error_tells_what_was_wrong() {
    let origin = origin([Reply::status(200).after(secs(1000))]);
    let error = client(&origin).fetch(get(URL).deadline(secs(1))).await.unwrap_err();
    assert_eq!(error.to_string(), "GET http://h/a: not done within 1 s (1 attempt, 1 s)");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(source.contains("no first byte within 1 s"), "{source}");
}

#[tokio::test(start_paused = true)]
async fn the_observer_is_told_of_every_failure() {
    let seen: Arc<Mutex<Vec<Attempt>>> = Arc::default();
    let record = Arc::clone(&seen);
    let replies = [Reply::status(503), Reply::resource(pattern(3000)).breaks_after(1000), Reply::status(404)];
    let origin = origin(replies);
    let observer = Arc::new(move |attempt: &Attempt| record.lock().unwrap().push(attempt.clone()));
    let request = get("http://h/a").observer(observer);
    assert_eq!(fetch_error(&client(&origin), request).await, ErrorKind::NotFound);
    let seen = seen.lock().unwrap();
    let told: Vec<_> = seen.iter().map(|a| (a.number, a.kind, a.status, a.position, a.wait.is_some())).collect();
    assert_eq!(
        told,
        [
            (1, ErrorKind::ServerError, Some(503), 0, true),
            (2, ErrorKind::Truncated, None, 1000, true),
            (3, ErrorKind::NotFound, Some(404), 1000, false),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_fetch_sends_nothing_more() {
    let origin = origin([Reply::status(503)]);
    let fetching = client(&origin).fetch(get(URL).patience(Patience::default()));
    assert!(timeout(secs(3), fetching).await.is_err());
    let sent = origin.requests().len();
    tokio::time::sleep(secs(60)).await;
    assert_eq!(origin.requests().len(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_dying_origin_is_left_in_peace() {
    // Resources have paths of their own, or differ only in their query.
    for resources in ["http://h/", "http://h/get?seg="] {
        let origin = ScriptedTransport::new().otherwise(|_| Reply::status(503));
        let client = client(&origin);
        let begun = Instant::now();
        // A player with all its failing fetches: six at a time, again and again for a minute.
        while begun.elapsed() < secs(60) {
            let fetches = (0..6).map(|n| client.fetch(get(&format!("{resources}{n}")).patience(Patience::default())));
            for outcome in futures_util::future::join_all(fetches).await {
                let kind = outcome.unwrap_err().kind();
                assert!(matches!(kind, ErrorKind::CircuitOpen | ErrorKind::ServerError), "{kind:?}");
            }
        }
        // Six failures open the breaker (those in flight may add a few), then a probe each four seconds.
        assert!(origin.requests().len() <= 6 + 6 + 60 / 4 + 4, "{resources} {}", origin.requests().len());
    }
}

#[tokio::test(start_paused = true)]
async fn without_patience_an_open_circuit_fails_at_once_and_says_when_to_come_back() {
    let origin = ScriptedTransport::new().otherwise(|_| Reply::status(503));
    let client = client(&origin);
    for url in ["http://h/1", "http://h/2"] {
        fetch_error(&client, get(url)).await;
    }
    let sent = origin.requests().len();
    let begun = Instant::now();
    let error = client.fetch(get("http://h/3")).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::CircuitOpen, 0));
    assert!(error.retry_after().is_some_and(|wait| wait <= secs(1)));
    assert_eq!((begun.elapsed(), origin.requests().len()), (secs(0), sent));
    let other = client.fetch(get("http://other/")).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::ServerError, "another origin is another circuit");
}

#[tokio::test(start_paused = true)]
async fn who_has_little_patience_left_waits_for_a_probe_that_is_under_way() {
    for (answer, served) in [(Reply::resource("x"), true), (Reply::status(503), false)] {
        let begun = Instant::now();
        let origin = ScriptedTransport::new().otherwise(move |sent| match sent.at.duration_since(begun) < secs(8) {
            true => Reply::status(503),
            false => answer.clone().after(ms(300)),
        });
        let client = client(&origin);
        let fetches = (0..8).map(|n| fetch_error(&client, get(&format!("http://h/{n}"))));
        futures_util::future::join_all(fetches).await;
        tokio::time::sleep(secs(8)).await;
        let patience = Patience { attempts: 1, max_elapsed: secs(2) };
        let begun = Instant::now();
        let fetches = (0..3).map(|n| fetch(&client, get(&format!("http://h/{n}")).patience(patience)));
        for outcome in futures_util::future::join_all(fetches).await {
            assert_eq!(outcome.is_ok(), served, "{outcome:?}");
        }
        assert_eq!(begun.elapsed(), if served { ms(600) } else { ms(300) }, "and no longer than that");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovered_origin_serves_all_who_waited() {
    let origin = away(secs(8), Reply::failure(ErrorKind::Connect));
    let client = client(&origin);
    let fetches = (0..8).map(|n| fetch(&client, get(&format!("http://h/{n}")).patience(Patience::default())));
    let begun = Instant::now();
    for outcome in futures_util::future::join_all(fetches).await {
        assert_eq!(outcome.unwrap(), "good");
    }
    assert!(begun.elapsed() < secs(13), "{:?}", begun.elapsed());
    assert!(origin.requests().len() < 8 + 8 + 6, "{}", origin.requests().len());
}

#[tokio::test(start_paused = true)]
async fn retries_that_help_are_not_counted_against_an_origin() {
    // Every resource fails twice and then comes, sixty times over: more than the budget has for those that fail for good.
    let fails = [Reply::status(504), Reply::status(504), Reply::resource("good")];
    let url = |n: u32| format!("http://h/{n}");
    let origin = (0..60).fold(ScriptedTransport::new(), |origin, n| origin.on(&url(n), fails.clone()));
    let client = client(&origin);
    let begun = Instant::now();
    for n in 0..60 {
        assert_eq!(fetch(&client, get(&url(n)).patience(Patience::default())).await.unwrap(), "good");
    }
    assert_eq!(origin.requests().len(), 180);
    assert!(begun.elapsed() < 60 * ms(750), "only the waits of each: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_retry_budget_bounds_a_body_that_breaks_for_ever() {
    // Each answer makes just enough progress to count as such.
    let replies = ScriptedTransport::new().otherwise(|_| Reply::resource(pattern(1 << 20)).breaks_after(1100));
    let breaker = BreakerPolicy { retry_burst: 5, retry_interval: secs(2), ..BreakerPolicy::default() };
    let options = NetworkOptions { breaker, ..NetworkOptions::default() };
    let client = client_with(options, &replies);
    let kind = fetch_error(&client, get(URL).deadline(secs(60))).await;
    assert!(matches!(kind, ErrorKind::Deadline | ErrorKind::Truncated), "{kind:?}");
    let sent = replies.requests().len();
    assert!((20..=6 + 30).contains(&sent), "{sent}");
}
