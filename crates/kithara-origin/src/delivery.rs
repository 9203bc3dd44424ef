//! From a request, its faults and the honest answer to what is put on the wire: a pure function.

use std::{io::Write, ops::Range, time::Duration};

use bytes::Bytes;

use crate::{
    body::{Body, mix},
    fault::{At, Ending, Fault},
    request::Request,
    response::{Growth, Readiness, Response, Selected, content_range, reason, select},
};

/// What is done now for a request.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing until the clock shows this, which it does not yet; then it is decided anew.
    Hold(Duration),
    Deliver(Box<Delivery>),
}

/// All that happens for one request.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Silence before anything is sent.
    pub(crate) latency: Duration,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    HangUp(Ending),
    Raw(Bytes),
    Answer(Answer),
}

/// An answer, ready to be written.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and fields, with the empty line.
    pub(crate) head: String,
    pub(crate) body: Body,
    /// What to do with the body, in order; nothing for HEAD.
    pub(crate) steps: Vec<Step>,
    /// Largest chunk of a chunked body.
    pub(crate) chunk: Option<usize>,
    /// Bits to flip, by place in the body.
    pub(crate) damage: Vec<(u64, u8)>,
    pub(crate) rate: Option<u64>,
    /// Bytes at once, and the wait between two sends.
    pub(crate) drip: Option<(u64, Duration)>,
    /// Whether another request may follow.
    pub(crate) keep_alive: bool,
}

/// One thing to do in a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Send these bytes of the body.
    Send(Range<u64>),
    Pause(Duration),
    /// Wait until the clock shows this.
    Await(Duration),
    End(Ending),
}

/// Decides what is done for `request`. `honest` is asked only when no fault takes its place.
pub(crate) fn plan(request: &Request, faults: &[Fault], honest: impl FnOnce() -> Response) -> Plan {
    let latency =
        faults.iter().map(|fault| if let Fault::Latency(time) = fault { *time } else { Duration::ZERO }).sum();
    for fault in faults {
        let action = match fault {
            Fault::HangUp(ending) => Action::HangUp(*ending),
            Fault::Raw(bytes) => Action::Raw(bytes.clone()),
            Fault::Answer(response) => Action::Answer(answer(request, faults, response.clone())),
            Fault::Redirect(redirect) => match redirect.response(request) {
                Some(response) => Action::Answer(answer(request, faults, response)),
                None => continue,
            },
            _ => continue,
        };
        return Plan::Deliver(Box::new(Delivery { latency, action }));
    }
    let response = honest();
    match response.readiness {
        Readiness::Later(at) if at > request.now => Plan::Hold(at),
        _ => {
            let action = Action::Answer(answer(request, faults, response));
            Plan::Deliver(Box::new(Delivery { latency, action }))
        }
    }
}

fn answer(request: &Request, faults: &[Fault], response: Response) -> Answer {
    let response = with_fields(reshaped(request, faults, response.completed(request.wall)), faults);
    let mut request = request.clone();
    if faults.iter().any(|fault| matches!(fault, Fault::IgnoreRange)) {
        request.headers.retain(|(name, _)| name != "range");
    }
    let Selected { response, range } = select(&request, response);
    let response = with_fields(shifted(response, faults, &range), faults);
    let framing = Framing::of(faults, &response.readiness, range.end - range.start);
    let keep_alive = request.keeps_alive() && framing.keeps_alive(faults);
    let head = head(&response, &framing, request.keeps_alive());
    let damage = faults.iter().filter_map(|fault| match fault {
        Fault::Corrupt { at, xor } => Some((at.index(response.body.len()), *xor)),
        _ => None,
    });
    let bodiless = request.method == "HEAD" || matches!(response.status, 204 | 304);
    Answer {
        status: response.status,
        head,
        damage: damage.collect(),
        steps: if bodiless { Vec::new() } else { as_it_grows(steps(faults, range), &response.readiness) },
        chunk: if bodiless { None } else { framing.chunk() },
        rate: faults.iter().find_map(|fault| if let Fault::Rate(rate) = fault { Some(*rate) } else { None }),
        drip: faults.iter().find_map(|fault| match fault {
            Fault::Drip { bytes, every } => Some(((*bytes).max(1), *every)),
            _ => None,
        }),
        keep_alive,
        body: response.body,
    }
}

/// Changes the content itself: its length, its encoding, its validator.
fn reshaped(request: &Request, faults: &[Fault], mut response: Response) -> Response {
    for fault in faults {
        response = match fault {
            Fault::Shorten(at) => {
                let len = at.index(response.body.len());
                let body = response.body.clone().shortened(len);
                response.with_body(body)
            }
            Fault::Gzip { unasked } if *unasked || accepts_gzip(request) => gzipped(response),
            Fault::NewEtag => {
                let tag = format!("\"{:x}-{:x}\"", request.nth, mix(request.nth));
                response.with_header("ETag", &tag)
            }
            _ => response,
        };
    }
    response
}

fn accepts_gzip(request: &Request) -> bool {
    request
        .header("accept-encoding")
        .is_some_and(|value| value.split(',').any(|coding| coding.trim().starts_with("gzip")))
}

/// Longest body that is compressed in memory.
const MAX_GZIP: u64 = 64 << 20;

fn gzipped(response: Response) -> Response {
    let Some(plain) = response.body.to_bytes(MAX_GZIP).filter(|_| response.status == 200) else {
        return response;
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let packed = encoder.write_all(&plain).and_then(|()| encoder.finish()).expect("writing to a Vec cannot fail");
    let body = Body::from(packed);
    let etag = body.etag().unwrap_or_default().to_owned();
    response
        .with_body(body)
        .with_header("ETag", &etag)
        .with_header("Content-Encoding", "gzip")
        .with_header("Vary", "Accept-Encoding")
}

/// Sets and removes header fields. Done before ranges and conditions are applied, which must believe them, and again behind that.
fn with_fields(response: Response, faults: &[Fault]) -> Response {
    faults.iter().fold(response, |response, fault| match fault {
        Fault::Header(name, value) => response.with_header(name, value),
        Fault::NoHeader(name) => response.without_header(name),
        _ => response,
    })
}

fn shifted(response: Response, faults: &[Fault], range: &Range<u64>) -> Response {
    let off = faults.iter().find_map(|fault| if let Fault::RangeOff(off) = fault { Some(*off) } else { None });
    let Some(off) = off.filter(|_| response.status == 206) else {
        return response;
    };
    let (start, end) = (range.start.saturating_add_signed(off), range.end.saturating_add_signed(off));
    let value = content_range(start, end, response.body.len());
    response.with_header("Content-Range", &value)
}

/// How the end of the body is told.
#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked(usize),
    Close,
}

impl Framing {
    /// The framing of a body of `len` bytes.
    fn of(faults: &[Fault], readiness: &Readiness, len: u64) -> Self {
        let told = faults.iter().find_map(|fault| match fault {
            Fault::LengthOff(off) => Some(Self::Length(len.saturating_add_signed(*off))),
            Fault::Chunked(size) => Some(Self::Chunked((*size).max(1))),
            Fault::NoLength => Some(Self::Close),
            _ => None,
        });
        told.unwrap_or(match readiness {
            // Whoever makes it does not know how long it gets.
            Readiness::Growing(_) => Self::Chunked(GROWING_CHUNK),
            Readiness::Whole | Readiness::Later(_) => Self::Length(len),
        })
    }

    fn chunk(&self) -> Option<usize> {
        if let Self::Chunked(size) = self { Some(*size) } else { None }
    }

    fn keeps_alive(&self, faults: &[Fault]) -> bool {
        let lost = |fault: &Fault| matches!(fault, Fault::LengthOff(_) | Fault::CloseAfter);
        !matches!(self, Self::Close) && !faults.iter().any(lost)
    }
}

fn head(response: &Response, framing: &Framing, wants_keep_alive: bool) -> String {
    let status = response.status;
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in &response.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let bodiless = matches!(status, 204 | 304);
    match framing {
        Framing::Length(len) if !bodiless && response.header("content-length").is_none() => {
            head.push_str(&format!("Content-Length: {len}\r\n"));
        }
        Framing::Chunked(_) if !bodiless => head.push_str("Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    if !wants_keep_alive || matches!(framing, Framing::Close) {
        head.push_str("Connection: close\r\n");
    }
    head + "\r\n"
}

/// Largest chunk of a body that is still being made.
const GROWING_CHUNK: usize = 64 << 10;

/// Lets no byte go before it exists.
fn as_it_grows(steps: Vec<Step>, readiness: &Readiness) -> Vec<Step> {
    let Readiness::Growing(Growth(pieces)) = readiness else {
        return steps;
    };
    let mut pieces = pieces.iter().peekable();
    let mut grown = Vec::new();
    for step in steps {
        let Step::Send(Range { mut start, end }) = step else {
            grown.push(step);
            continue;
        };
        while start < end {
            while pieces.next_if(|(piece, _)| *piece <= start).is_some() {}
            let Some((piece, at)) = pieces.peek() else {
                grown.push(Step::Send(start..end));
                break;
            };
            let upto = end.min(*piece);
            grown.extend([Step::Await(*at), Step::Send(start..upto)]);
            start = upto;
        }
    }
    grown
}

/// Cuts `range` at every stall, and ends it at the first cut.
fn steps(faults: &[Fault], range: Range<u64>) -> Vec<Step> {
    let len = range.end - range.start;
    let place = |at: &At| range.start + at.index(len);
    let mut stops: Vec<(u64, Option<Duration>, Option<Ending>)> = faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Cut { at, ending } => Some((place(at), None, Some(*ending))),
            Fault::Stall { at, time, ending } => Some((place(at), Some(*time), *ending)),
            _ => None,
        })
        .collect();
    stops.sort_by_key(|(at, ..)| *at);
    let mut steps = Vec::new();
    let mut from = range.start;
    for (at, time, ending) in stops {
        if at > from {
            steps.push(Step::Send(from..at));
            from = at;
        }
        steps.extend(time.map(Step::Pause));
        if let Some(ending) = ending {
            steps.push(Step::End(ending));
            return steps;
        }
    }
    if from < range.end {
        steps.push(Step::Send(from..range.end));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Redirect;

    const SECOND: Duration = Duration::from_secs(1);

    fn delivery(fields: &str, faults: &[Fault]) -> Delivery {
        let request = Request::parse(format!("GET /a HTTP/1.1\r\n{fields}").as_bytes()).unwrap();
        delivered(&request, faults, Response::ok("0123456789"))
    }

    fn delivered(request: &Request, faults: &[Fault], honest: Response) -> Delivery {
        match plan(request, faults, || honest) {
            Plan::Deliver(delivery) => *delivery,
            held => panic!("{held:?}"),
        }
    }

    fn answered(fields: &str, faults: &[Fault]) -> Answer {
        match delivery(fields, faults).action {
            Action::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Compares the steps for the whole body, then for its last four bytes.
    #[track_caller]
    fn check_steps(faults: &[Fault], whole: &[Step], last_four: &[Step]) {
        assert_eq!(answered("", faults).steps, whole);
        assert_eq!(answered("Range: bytes=-4", faults).steps, last_four);
    }

    #[test]
    fn places_in_the_body_count_what_is_sent() {
        use Step::{End, Pause, Send};
        let half = At::Fraction(0.5);
        check_steps(&[], &[Send(0..10)], &[Send(6..10)]);
        let cut = [Fault::truncate(half)];
        check_steps(&cut, &[Send(0..5), End(Ending::Close)], &[Send(6..8), End(Ending::Close)]);
        let stall = [Fault::stall(half, SECOND)];
        check_steps(&stall, &[Send(0..5), Pause(SECOND), Send(5..10)], &[Send(6..8), Pause(SECOND), Send(8..10)]);
        let both = [Fault::reset_at(At::FromEnd(1)), Fault::stall(At::Byte(0), SECOND), Fault::truncate(At::Byte(99))];
        let end = End(Ending::Reset);
        check_steps(&both, &[Pause(SECOND), Send(0..9), end.clone()], &[Pause(SECOND), Send(6..9), end]);
    }

    #[test]
    fn a_byte_waits_for_the_piece_it_is_in() {
        use Step::{Await, End, Send};
        let response = || Response::ok("0123456789").growing(Growth(vec![(4, SECOND), (8, 2 * SECOND)]));
        let steps = |fields: &str, faults: &[Fault]| {
            let request = Request::parse(format!("GET /a HTTP/1.1\r\n{fields}").as_bytes()).unwrap();
            match delivered(&request, faults, response()).action {
                Action::Answer(answer) => (answer.steps, answer.chunk.is_some()),
                other => panic!("{other:?}"),
            }
        };
        let whole = vec![Await(SECOND), Send(0..4), Await(2 * SECOND), Send(4..8), Send(8..10)];
        assert_eq!(steps("", &[]), (whole, true));
        assert_eq!(steps("Range: bytes=5-6", &[]).0, [Await(2 * SECOND), Send(5..7)]);
        assert_eq!(steps("", &[Fault::reset_at(At::Byte(2))]).0, [Await(SECOND), Send(0..2), End(Ending::Reset)]);
    }

    #[test]
    fn what_does_not_exist_yet_is_held_but_a_fault_in_its_place_is_not() {
        let mut request = Request::parse(b"GET /a HTTP/1.1").unwrap();
        assert!(matches!(plan(&request, &[], || Response::later(SECOND)), Plan::Hold(SECOND)));
        let status = |request: &Request, faults: &[Fault]| match delivered(request, faults, Response::later(SECOND)) {
            Delivery { action: Action::Answer(answer), .. } => answer.status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(&request, &[Response::new(404).into()]), 404);
        request.now = SECOND;
        assert_eq!(status(&request, &[]), 503, "holding it until a time that has passed would hold it for ever");
    }

    #[track_caller]
    fn check_head(fields: &str, faults: &[Fault], wanted: &[&str], unwanted: &[&str]) {
        let head = answered(fields, faults).head;
        for line in wanted {
            assert!(head.split("\r\n").any(|got| got == *line), "{line} is missing in {head}");
        }
        for name in unwanted {
            assert!(!head.contains(name), "{name} in {head}");
        }
    }

    #[test]
    fn heads_lie_as_told() {
        let range = "Range: bytes=2-5";
        check_head("", &[], &["HTTP/1.1 200 OK", "Content-Length: 10", "Accept-Ranges: bytes"], &["Connection"]);
        check_head(
            range,
            &[],
            &["HTTP/1.1 206 Partial Content", "Content-Range: bytes 2-5/10", "Content-Length: 4"],
            &[],
        );
        check_head(range, &[Fault::IgnoreRange], &["HTTP/1.1 200 OK", "Content-Length: 10"], &["Content-Range"]);
        check_head(range, &[Fault::RangeOff(1)], &["Content-Range: bytes 3-6/10", "Content-Length: 4"], &[]);
        check_head("", &[Fault::LengthOff(5)], &["Content-Length: 15"], &["Connection"]);
        check_head("", &[Fault::LengthOff(-50)], &["Content-Length: 0"], &["Connection"]);
        check_head("", &[Fault::NoLength], &["Connection: close"], &["Content-Length", "Transfer-Encoding"]);
        check_head("", &[Fault::Chunked(4)], &["Transfer-Encoding: chunked"], &["Content-Length"]);
        check_head("", &[Fault::Header("Content-Type".into(), "x/y".into())], &["Content-Type: x/y"], &[]);
        check_head("", &[Fault::NoHeader("ETag".into())], &[], &["ETag"]);
        check_head("Connection: close", &[], &["Connection: close"], &[]);
    }

    #[test]
    fn a_length_in_the_header_is_not_sent_twice() {
        let head = answered("", &[Fault::Header("Content-Length".into(), "3".into())]).head;
        assert_eq!(head.matches("Content-Length").count(), 1, "{head}");
    }

    #[test]
    fn a_new_etag_breaks_if_range() {
        let tag = Body::from("0123456789").etag().unwrap().to_owned();
        let fields = format!("Range: bytes=2-5\r\nIf-Range: {tag}");
        assert_eq!(answered(&fields, &[]).status, 206);
        assert_eq!(answered(&fields, &[Fault::NewEtag]).status, 200);
    }

    #[test]
    fn the_first_of_two_answers_wins_and_lies_apply_to_it() {
        let faults = [Response::new(503).into(), Fault::from(Response::html("x")), Fault::NoLength];
        let answer = answered("", &faults);
        assert_eq!((answer.status, answer.keep_alive), (503, false));
        let hops = [Redirect::hops(1).into()];
        assert_eq!(answered("", &hops).status, 302);
    }

    #[test]
    fn damage_counts_the_whole_content() {
        let fault = [Fault::Corrupt { at: At::FromEnd(1), xor: 1 }, Fault::Shorten(At::Byte(8))];
        let answer = answered("Range: bytes=6-", &fault);
        assert_eq!((answer.damage, answer.steps), (vec![(7, 1)], vec![Step::Send(6..8)]));
    }

    #[test]
    fn latencies_add_up_and_come_before_anything() {
        let faults = [Fault::Latency(SECOND), Fault::HangUp(Ending::Reset), Fault::Latency(SECOND)];
        let delivery = delivery("", &faults);
        assert_eq!(delivery.latency, 2 * SECOND);
        assert!(matches!(delivery.action, Action::HangUp(Ending::Reset)));
    }
}
