//! A host that is there and takes no connection: the kernel drops what asks for one while the queue of its listener is
//! full, so that connecting hangs.

use std::io;
use std::net::{SocketAddr, TcpStream};

use kithara_net::retry::Patience;
use kithara_net::{ErrorKind, NetworkOptions, Proxy, Request, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::*;

/// A listener that accepts nobody, and the connections that fill its queue.
struct Full {
    listener: TcpListener,
    addr: SocketAddr,
    filling: Vec<TcpStream>,
}

impl Full {
    fn listen() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        let hangs = loop {
            match TcpStream::connect_timeout(&addr, HANGS) {
                Ok(stream) if filling.len() < 64 => filling.push(stream),
                end => break end,
            }
        };
        assert_eq!(hangs.unwrap_err().kind(), io::ErrorKind::TimedOut, "whoever connects hangs");
        assert!(!filling.is_empty(), "there was room before");
        Self { listener, addr, filling }
    }

    /// Whether somebody is connecting to it.
    fn is_asked(&self) -> bool {
        let wanted = format!(":{:04X}", self.addr.port());
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        sockets.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(2);
            let (remote, state) = (fields.next().unwrap(), fields.next().unwrap());
            remote.ends_with(&wanted) && state == SYN_SENT
        })
    }

    /// Accepts those that filled the queue, and answers who comes after them.
    async fn answer(self, body: &str) {
        for _ in &self.filling {
            self.listener.accept().await.unwrap();
        }
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A connection over loopback that takes this long does not come.
const HANGS: Duration = Duration::from_millis(400);
/// How the kernel writes that a socket is connecting.
const SYN_SENT: &str = "02";

/// One attempt to fetch from `full`, whose connection may take `connect`.
fn attempt(full: &Full, connect: Duration) -> (Client, Request) {
    let timeouts = Timeouts { connect, first_byte: secs(60), ..Timeouts::default() };
    let client = Client::new(NetworkOptions { timeouts, proxy: Proxy::None, ..NetworkOptions::default() }).unwrap();
    let patience = Patience { attempts: 1, ..Patience::default() };
    (client, get(&format!("http://{}/seg", full.addr)).patience(patience))
}

#[tokio::test]
async fn a_connection_that_does_not_come_is_given_up_in_time() {
    let full = Full::listen();
    let (client, request) = attempt(&full, ms(300));
    let error = client.fetch(request).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::ConnectTimeout, 1));
    assert!(error.to_string().contains("no connection within 0.3 s"), "{error}");
    let still = TcpStream::connect_timeout(&full.addr, HANGS).unwrap_err();
    assert_eq!(still.kind(), io::ErrorKind::TimedOut, "it was full all the time");
}

#[tokio::test]
async fn a_connection_that_comes_late_and_in_time_is_used() {
    let full = Full::listen();
    let (client, request) = attempt(&full, secs(30));
    let fetched = tokio::spawn(async move { fetch(&client, request).await });
    let asked = async {
        while !full.is_asked() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(secs(20), asked).await.expect("it connects");
    assert!(!fetched.is_finished());
    full.answer("late").await;
    assert_eq!(fetched.await.unwrap().unwrap(), "late", "in the one attempt");
}
