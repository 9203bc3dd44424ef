//! A client that reads what is on the wire and repairs nothing.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use kithara_origin::Origin;

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The origin closed in order.
    Eof,
    /// The origin reset the connection.
    Reset,
    /// The whole length that was promised has been read.
    Length,
}

/// All that came for one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    /// From the request to the first byte.
    pub(crate) first_byte: Duration,
    /// From the request to the end.
    pub(crate) whole: Duration,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes read behind the end of an answer.
    ahead: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(origin: &Origin) -> Self {
        let stream = TcpStream::connect(origin.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, ahead: Vec::new() }
    }

    /// Sends a request and reads until the promised length or the end of the connection.
    pub(crate) fn get(&mut self, target: &str, fields: &str) -> Answer {
        self.request("GET", target, fields)
    }

    pub(crate) fn request(&mut self, method: &str, target: &str, fields: &str) -> Answer {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        self.read(method != "HEAD")
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&mut self, with_body: bool) -> Answer {
        let start = Instant::now();
        let mut all = std::mem::take(&mut self.ahead);
        let mut first_byte = None;
        let end = loop {
            if let Some(len) = whole_len(&all, with_body).filter(|len| *len <= all.len()) {
                self.ahead = all.split_off(len);
                break End::Length;
            }
            let mut buf = [0; 8192];
            match self.stream.read(&mut buf) {
                Ok(0) => break End::Eof,
                Ok(count) => {
                    first_byte.get_or_insert_with(|| start.elapsed());
                    all.extend_from_slice(&buf[..count]);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("{error} after {} bytes", all.len()),
            }
        };
        let whole = start.elapsed();
        let (head, body) = split(&all).map_or((&[][..], all.as_slice()), |at| (&all[..at], &all[at + 4..]));
        let head = String::from_utf8_lossy(head).into_owned();
        Answer { head, body: body.to_vec(), end, first_byte: first_byte.unwrap_or(whole), whole }
    }
}

/// One request on a connection of its own.
pub(crate) fn get(origin: &Origin, target: &str, fields: &str) -> Answer {
    Client::connect(origin).get(target, fields)
}

/// Undoes chunked framing; `None` when the last chunk is missing.
pub(crate) fn dechunk(mut framed: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = framed.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&framed[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return (body, &framed[line..] == b"\r\n\r\n");
        }
        body.extend_from_slice(&framed[line + 2..line + 2 + size]);
        framed = &framed[line + 4 + size..];
    }
}

fn split(all: &[u8]) -> Option<usize> {
    all.windows(4).position(|four| four == b"\r\n\r\n")
}

/// The bytes of head and body together, once a head has come that promises a length.
fn whole_len(all: &[u8], with_body: bool) -> Option<usize> {
    let body = split(all)? + 4;
    let head = String::from_utf8_lossy(&all[..body]).to_ascii_lowercase();
    let value = head.split("content-length: ").nth(1);
    let len = value.and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
    let bodiless = !with_body || head.starts_with("http/1.1 304");
    if bodiless { Some(body) } else { Some(body + len?) }
}
