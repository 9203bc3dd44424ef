//! One connection: reads requests, writes answers, until either side has enough.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    origin::Counted,
    request::{Refused, Request},
    response::{Response, Selected, reason, select},
};

/// Longest request head; a longer one is answered with 431.
const MAX_HEAD: usize = 64 << 10;
/// Longest request body; a longer one is answered with 413.
const MAX_REQUEST_BODY: usize = 1 << 20;
/// Bytes read from a body and written at once.
const CHUNK: usize = 64 << 10;

/// Serves one accepted connection until it ends.
pub(crate) async fn run(stream: TcpStream, counted: Counted) {
    let mut connection = Connection {
        stream,
        counted,
        arrived: BytesMut::new(),
    };
    if let Err(error) = connection.serve().await {
        // Clients leave when they like; what was sent is in the log.
        tracing::trace!(connection = connection.counted.id, %error, "connection ended");
    }
}

struct Connection {
    stream: TcpStream,
    counted: Counted,
    /// Bytes that arrived and are not consumed yet.
    arrived: BytesMut,
}

/// Whether another request may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    KeepAlive,
    Close,
}

impl Connection {
    async fn serve(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(request) = self.next_request().await? {
            let after = match request {
                Ok(request) => self.answer(request).await?,
                Err(Refused(status)) => self.refuse(status).await?,
            };
            if after == After::Close {
                return self.stream.shutdown().await;
            }
        }
        Ok(())
    }

    /// The next request, `None` at the end of the connection.
    async fn next_request(&mut self) -> io::Result<Option<Result<Request, Refused>>> {
        let Some(head_len) = self.head_len().await? else {
            return Ok(None);
        };
        let Some(head_len) = head_len else {
            return Ok(Some(Err(Refused(431))));
        };
        let head = self.arrived.split_to(head_len);
        let mut request = match Request::parse(&head[..head_len - 4]) {
            Ok(request) => request,
            Err(refused) => return Ok(Some(Err(refused))),
        };
        let body_len = match body_len(&request) {
            Ok(len) => len,
            Err(refused) => return Ok(Some(Err(refused))),
        };
        while self.arrived.len() < body_len {
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Ok(None);
            }
        }
        request.body = self.arrived.split_to(body_len).freeze();
        request.connection = self.counted.id;
        Ok(Some(Ok(request)))
    }

    /// Reads until a head is complete: its length with the empty line, `Some(None)` when it is too long, `None` at the end.
    async fn head_len(&mut self) -> io::Result<Option<Option<usize>>> {
        loop {
            if let Some(at) = self.arrived.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some((at + 4 <= MAX_HEAD).then_some(at + 4)));
            }
            if self.arrived.len() > MAX_HEAD {
                return Ok(Some(None));
            }
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn refuse(&mut self, status: u16) -> io::Result<After> {
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            reason(status)
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.arrived.clear();
        Ok(After::Close)
    }

    async fn answer(&mut self, mut request: Request) -> io::Result<After> {
        let shared = self.counted.shared().clone();
        let at = shared.started().elapsed();
        let id = shared.log_mut(|log| log.begin(at, &request));
        request.nth = shared.count(&request.path);
        let response = shared.site(|site| {
            request.at = site.clock.elapsed();
            site.answer(&request)
        });
        let selected = select(&request, response);
        shared.log_mut(|log| {
            log.entry(id)
                .map(|entry| entry.status = selected.response.status)
        });
        let sent = self.send(&request, &selected, id).await;
        let ended: Duration = shared.started().elapsed();
        shared.log_mut(|log| log.entry(id).map(|entry| entry.ended = Some(ended)));
        sent
    }

    async fn send(&mut self, request: &Request, selected: &Selected, id: u64) -> io::Result<After> {
        let after = if request.keeps_alive() {
            After::KeepAlive
        } else {
            After::Close
        };
        let len = selected.range.end - selected.range.start;
        self.stream
            .write_all(head_text(&selected.response, len, after).as_bytes())
            .await?;
        if request.method == "HEAD" {
            return Ok(after);
        }
        let mut buf = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
        let mut offset = selected.range.start;
        while offset < selected.range.end {
            let want = buf
                .len()
                .min(usize::try_from(selected.range.end - offset).unwrap_or(CHUNK));
            let count = selected.response.body.read_at(offset, &mut buf[..want])?;
            let mut rest = &buf[..count];
            while rest.has_remaining() {
                let written = self.stream.write_buf(&mut rest).await?;
                self.counted.shared().log_mut(|log| {
                    log.entry(id)
                        .map(|entry| entry.bytes_sent += written as u64)
                });
            }
            offset += count as u64;
        }
        Ok(after)
    }
}

fn body_len(request: &Request) -> Result<usize, Refused> {
    if request.header("transfer-encoding").is_some() {
        return Err(Refused(411));
    }
    let len = request.header("content-length").map_or(Ok(0), |value| {
        value.parse::<usize>().map_err(|_| Refused(400))
    })?;
    if len > MAX_REQUEST_BODY {
        Err(Refused(413))
    } else {
        Ok(len)
    }
}

fn head_text(response: &Response, len: u64, after: After) -> String {
    let status = response.status;
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !matches!(status, 204 | 304) {
        head.push_str(&format!("Content-Length: {len}\r\n"));
    }
    if after == After::Close {
        head.push_str("Connection: close\r\n");
    }
    head + "\r\n"
}
