//! One connection: reads requests, plays answers, until either side has enough.

use std::{io, sync::Arc};

use tokio::net::TcpStream;

use crate::{
    clock::Clock,
    delivery::{Action, Answer, Plan, Step, plan},
    fault::{Ending, Fault},
    link::Gate,
    log::Logged,
    origin::{Counted, Shared},
    request::{Refused, Request},
    response::reason,
    wire::Wire,
};

/// Longest request head; a longer one is answered with 431.
const MAX_HEAD: usize = 64 << 10;
/// Longest request body; a longer one is answered with 413.
const MAX_REQUEST_BODY: usize = 1 << 20;
/// Bytes read from a body at once.
const CHUNK: usize = 64 << 10;

/// Serves one accepted connection until it ends.
pub(crate) async fn run(stream: TcpStream, counted: Counted) {
    let id = counted.id;
    let served = async {
        let wire = Wire::new(stream, counted.shared().link().clone())?;
        let mut connection = Connection { wire, counted, is_fresh: true };
        connection.serve().await
    };
    if let Err(error) = served.await {
        // Clients leave when they like; what was sent is in the log.
        tracing::trace!(connection = id, %error, "connection ended");
    }
}

struct Connection {
    wire: Wire,
    counted: Counted,
    /// No request was answered yet.
    is_fresh: bool,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    KeepAlive,
    End(Ending),
}

/// What the reader found.
enum Next {
    Request(Box<Request>),
    Refused(Refused),
    End,
}

impl Connection {
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            let after = match self.next_request().await? {
                Next::Request(request) => self.answer(*request).await?,
                Next::Refused(Refused(status)) => return self.refuse(status).await,
                Next::End => return Ok(()),
            };
            match after {
                After::KeepAlive => self.is_fresh = false,
                After::End(Ending::Close) => return self.wire.close().await,
                After::End(Ending::Reset) => return self.wire.reset(),
            }
        }
    }

    async fn next_request(&mut self) -> io::Result<Next> {
        let head_len = loop {
            if let Some(at) = self.wire.arrived().windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.wire.arrived().len() > MAX_HEAD {
                return Ok(Next::Refused(Refused(431)));
            }
            if !self.wire.read_more().await? {
                return Ok(Next::End);
            }
        };
        if head_len > MAX_HEAD {
            return Ok(Next::Refused(Refused(431)));
        }
        let head = self.wire.take(head_len + 4);
        let parsed = Request::parse(&head[..head_len]).and_then(|request| Ok((body_len(&request)?, request)));
        let (body_len, mut request) = match parsed {
            Ok(parsed) => parsed,
            Err(refused) => return Ok(Next::Refused(refused)),
        };
        while self.wire.arrived().len() < body_len {
            if !self.wire.read_more().await? {
                return Ok(Next::End);
            }
        }
        request.body = self.wire.take(body_len);
        request.connection = self.counted.id;
        Ok(Next::Request(Box::new(request)))
    }

    async fn refuse(&mut self, status: u16) -> io::Result<()> {
        let head = format!("HTTP/1.1 {status} {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", reason(status));
        self.wire.write(head.as_bytes()).await?;
        self.wire.close_lingering().await
    }

    async fn answer(&mut self, mut request: Request) -> io::Result<After> {
        let shared = self.counted.shared().clone();
        let faults = shared.admit(&mut request);
        let entry = Entry::begin(shared.clone(), &request, &faults);
        // The handshake cost a round trip as well, before the first request.
        let round_trips = if self.is_fresh { 2 } else { 1 };
        self.wire.silence(shared.link().rtt() * round_trips).await?;
        let clock = shared.site(|site| site.clock.clone());
        let delivery = loop {
            match plan(&request, &faults, || shared.site(|site| site.answer(&request))) {
                Plan::Deliver(delivery) => break delivery,
                Plan::Hold(until) => {
                    entry.update(|logged| logged.is_held = true);
                    self.wire.silent_during(clock.reached(until)).await?;
                    request.now = clock.elapsed();
                }
            }
        };
        self.wire.silence(delivery.latency).await?;
        match delivery.action {
            Action::HangUp(ending) => Ok(After::End(ending)),
            Action::Raw(bytes) => {
                self.wire.write(&bytes).await?;
                Ok(After::End(Ending::Close))
            }
            Action::Answer(answer) => self.play(&answer, &clock, &entry).await,
        }
    }

    async fn play(&mut self, answer: &Answer, clock: &Clock, entry: &Entry) -> io::Result<After> {
        entry.update(|logged| logged.status = answer.status);
        self.wire.write(answer.head.as_bytes()).await?;
        let mut rate = answer.rate.map(Gate::new);
        for step in &answer.steps {
            match step {
                Step::Send(range) => self.send(answer, range.clone(), &mut rate, entry).await?,
                Step::Pause(time) => self.wire.silence(*time).await?,
                Step::Await(at) => self.wire.silent_during(clock.reached(*at)).await?,
                Step::End(ending) => return Ok(After::End(*ending)),
            }
        }
        if answer.chunk.is_some() {
            self.wire.write(b"0\r\n\r\n").await?;
        }
        Ok(if answer.keep_alive { After::KeepAlive } else { After::End(Ending::Close) })
    }

    /// Sends a range of the body, in pieces as chunking, drip and pacing want them.
    async fn send(
        &mut self,
        answer: &Answer,
        range: std::ops::Range<u64>,
        rate: &mut Option<Gate>,
        entry: &Entry,
    ) -> io::Result<()> {
        let most = answer.chunk.unwrap_or(CHUNK).min(CHUNK);
        let mut buf = vec![0; most.min(usize::try_from(range.end - range.start).unwrap_or(most))];
        let mut dripped = 0;
        let mut offset = range.start;
        while offset < range.end {
            let mut want = range.end - offset;
            if let Some((bytes, every)) = answer.drip {
                if dripped == bytes {
                    self.wire.silence(every).await?;
                    dripped = 0;
                }
                want = want.min(bytes - dripped);
            }
            let want = usize::try_from(want).unwrap_or(usize::MAX).min(buf.len());
            let count = self.wire.permit(want, rate).await?;
            let piece = &mut buf[..count];
            answer.body.read_at(offset, piece)?;
            damage(&answer.damage, offset, piece);
            entry.update(|logged| logged.bytes_sent += count as u64);
            if answer.chunk.is_some() {
                self.wire.write(format!("{count:x}\r\n").as_bytes()).await?;
            }
            self.wire.write(piece).await?;
            if answer.chunk.is_some() {
                self.wire.write(b"\r\n").await?;
            }
            offset += count as u64;
            dripped += count as u64;
        }
        Ok(())
    }
}

/// A request's place in the log; says when it ended, however that comes about.
struct Entry {
    shared: Arc<Shared>,
    id: u64,
}

impl Entry {
    fn begin(shared: Arc<Shared>, request: &Request, faults: &[Fault]) -> Self {
        let names: Vec<_> = faults.iter().map(Fault::name).collect();
        let at = shared.started().elapsed();
        let id = shared.log_mut(|log| log.begin(at, request, names.join("+")));
        Self { shared, id }
    }

    fn update(&self, change: impl FnOnce(&mut Logged)) {
        self.shared.log_mut(|log| log.entry(self.id).map(change));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let ended = self.shared.started().elapsed();
        self.update(|logged| logged.ended = Some(ended));
    }
}

/// Flips the bits of those damaged places that lie in `piece`, which begins at `offset`.
fn damage(places: &[(u64, u8)], offset: u64, piece: &mut [u8]) {
    for (place, xor) in places {
        let index = place.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
        if let Some(byte) = index.and_then(|index| piece.get_mut(index)) {
            *byte ^= xor;
        }
    }
}

fn body_len(request: &Request) -> Result<usize, Refused> {
    if request.header("transfer-encoding").is_some() {
        return Err(Refused(411));
    }
    let len =
        request.header("content-length").map_or(Ok(0), |value| value.parse::<usize>().map_err(|_| Refused(400)))?;
    if len > MAX_REQUEST_BODY { Err(Refused(413)) } else { Ok(len) }
}
