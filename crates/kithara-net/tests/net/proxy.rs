//! Proxies on loopback: tunnels, SOCKS, and what the environment says of them.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex};

use kithara_net::retry::Patience;
use kithara_net::{ErrorKind, NetworkOptions, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::Server;

/// What a proxy was asked for, line by line.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, start: &str) -> usize {
        self.all().iter().filter(|line| line.starts_with(start)).count()
    }
}

/// A proxy that speaks HTTP, SOCKS4a and SOCKS5: it answers plain requests itself, and makes the tunnels that TLS needs.
async fn proxy() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, asked) = (listener.local_addr().unwrap(), Asked::default());
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that leaves ends its connection.
            tokio::spawn(serve(stream, heard.clone()));
        }
    });
    (addr, asked)
}

async fn serve(mut stream: TcpStream, asked: Asked) -> io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    let target = match first {
        [4] => Some(socks4(&mut stream, &asked).await?),
        [5] => Some(socks5(&mut stream, &asked).await?),
        _ => None,
    };
    if let Some(target) = target {
        asked.note(format!("to {target}"));
        stream.peek(&mut first).await?;
        if first == [TLS_HANDSHAKE] {
            let mut there = TcpStream::connect(target).await?;
            return copy_bidirectional(&mut stream, &mut there).await.map(drop);
        }
    }
    loop {
        let head = line_until(&mut stream, b"\r\n\r\n").await?;
        asked.note(head.clone());
        if let Some(target) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) {
            if target.starts_with("refused.invalid:") {
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await?;
                continue;
            }
            let mut there = TcpStream::connect(target).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            return copy_bidirectional(&mut stream, &mut there).await.map(drop);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy").await?;
    }
}

/// First byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 22;

async fn line_until(stream: &mut TcpStream, end: &[u8]) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(end) {
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

async fn text_of(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The handshake of SOCKS5 (RFC 1928, RFC 1929); gives where to.
async fn socks5(stream: &mut TcpStream, asked: &Asked) -> io::Result<String> {
    assert_eq!(stream.read_u8().await?, 5);
    let methods = text_of(stream).await?;
    let method = if methods.contains('\u{2}') { 2 } else { 0 };
    stream.write_all(&[5, method]).await?;
    if method == 2 {
        assert_eq!(stream.read_u8().await?, 1);
        let (user, password) = (text_of(stream).await?, text_of(stream).await?);
        asked.note(format!("by {user}:{password}"));
        stream.write_all(&[1, 0]).await?;
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let [5, 1, 0, kind] = request else { panic!("{request:?}") };
    let host = match kind {
        1 => Ipv4Addr::from(stream.read_u32().await?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(stream.read_u128().await?)),
        _ => text_of(stream).await?,
    };
    let port = stream.read_u16().await?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(format!("{host}:{port}"))
}

/// The handshake of SOCKS4a; gives where to.
async fn socks4(stream: &mut TcpStream, asked: &Asked) -> io::Result<String> {
    assert_eq!(stream.read_u16().await?, 0x401);
    let port = stream.read_u16().await?;
    let ip = Ipv4Addr::from(stream.read_u32().await?);
    let user = line_until(stream, b"\0").await?;
    asked.note(format!("by {}", user.trim_end_matches('\0')));
    let named = ip.octets()[..3] == [0, 0, 0];
    let host = if named { line_until(stream, b"\0").await? } else { ip.to_string() };
    stream.write_all(&[0, 90, 0, 0, 0, 0, 0, 0]).await?;
    Ok(format!("{}:{port}", host.trim_end_matches('\0')))
}

fn through(url: &str) -> NetworkOptions {
    NetworkOptions { proxy: Proxy::Url(url.parse().unwrap()), ..NetworkOptions::default() }
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_hides_all_but_the_host() {
    let server = Server::start(&["h2", "http/1.1"]).await;
    let (addr, asked) = proxy().await;
    let client =
        Client::new(NetworkOptions { proxy: through(&format!("http://u:p@{addr}")).proxy, ..server.options() });
    let client = client.unwrap();
    client.preconnect(&server.url.parse().unwrap()).await;
    for _ in 0..3 {
        assert_eq!(fetch(&client, get(&server.url)).await.unwrap(), "HTTP/2.0");
    }
    let [tunnel] = &asked.all()[..] else { panic!("{:?}", asked.all()) };
    let request = get(&server.url);
    assert!(
        tunnel.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", request.url().port().unwrap())),
        "{tunnel}"
    );
    assert!(tunnel.to_ascii_lowercase().contains("proxy-authorization: basic dtpw"), "{tunnel}");
    assert!(!tunnel.contains("path") && !tunnel.contains("sig"), "{tunnel}");
}

#[tokio::test]
async fn a_tunnel_that_is_refused_is_a_connection_that_does_not_come() {
    let (addr, asked) = proxy().await;
    let client = Client::new(through(&format!("http://{addr}"))).unwrap();
    let once = Patience { attempts: 1, ..Patience::default() };
    let error = client.fetch(get("https://refused.invalid/a").patience(once)).await.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Connect, None, 1));
    assert_eq!(asked.count("CONNECT refused.invalid:443 "), 1);
}

#[tokio::test]
async fn an_error_behind_a_proxy_tells_of_the_proxy() {
    let once = Patience { attempts: 1, ..Patience::default() };
    for (options, told) in [
        (through("http://127.0.0.1:9"), true),
        (NetworkOptions { proxy: Proxy::None, ..NetworkOptions::default() }, false),
    ] {
        let client = Client::new(options).unwrap();
        let error = client.fetch(get("http://127.0.0.1:9/a").patience(once)).await.unwrap_err();
        let cause = error.source().map(ToString::to_string);
        assert_eq!(cause.is_some_and(|cause| cause == "through a proxy"), told, "{error:?}");
    }
}

#[tokio::test]
async fn socks_proxies_are_asked_for_names_or_addresses_as_their_scheme_says() {
    let named = |user: &str| vec![format!("by {user}"), "to far.invalid:80".to_owned()];
    for (scheme, user) in [("socks5h", "u:p"), ("socks4a", "")] {
        let (addr, asked) = proxy().await;
        let userinfo = if user.is_empty() { String::new() } else { format!("{user}@") };
        let client = Client::new(through(&format!("{scheme}://{userinfo}{addr}"))).unwrap();
        assert_eq!(fetch(&client, get("http://far.invalid/a?b=%2F")).await.unwrap(), "proxy");
        let all = asked.all();
        assert_eq!(all[..2], named(user), "{scheme}");
        assert!(all[2].starts_with("GET /a?b=%2F HTTP/1.1\r\n"), "{all:?}");
    }
    let (addr, asked) = proxy().await;
    let client = Client::new(through(&format!("socks5://{addr}"))).unwrap();
    assert_eq!(fetch(&client, get("http://localhost/a")).await.unwrap(), "proxy");
    let to = asked.all()[0].clone();
    let address = to.strip_prefix("to ").unwrap().parse::<SocketAddr>().map(|address| address.ip());
    assert!(address.is_ok_and(|address: IpAddr| address.is_loopback()), "the name was looked up here: {to}");
}

#[tokio::test]
async fn https_goes_through_socks_proxies_too() {
    let server = Server::start(&["h2"]).await;
    let (addr, asked) = proxy().await;
    let client = Client::new(NetworkOptions { proxy: through(&format!("socks5h://{addr}")).proxy, ..server.options() });
    assert_eq!(fetch(&client.unwrap(), get(&server.url)).await.unwrap(), "HTTP/2.0");
    assert_eq!(asked.all(), [format!("to localhost:{}", get(&server.url).url().port().unwrap())]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_and_not_left_out() {
    for url in ["ftp://h:1/", "socks://h:1/", "socks6://h:1/", "file:///proxy", "mailto:a@h"] {
        assert_eq!(Client::new(through(url)).unwrap_err().kind(), ErrorKind::Setup, "{url}");
    }
}

/// The variables that a process of its own is told by what to fetch, through which proxy.
const URL: &str = "KITHARA_NET_TEST_URL";
const PROXY: &str = "KITHARA_NET_TEST_PROXY";
/// What it writes before the body.
const BODY: &str = "the body: ";

/// Fetches `url` with `proxy` in a process with these variables: its environment is nobody else's.
async fn fetch_apart(url: &str, proxy: &str, environment: &[(&'static str, String)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "proxy::the_environment_says_which_requests_go_through_a_proxy"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.env(URL, url).env(PROXY, proxy);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    let body = written.split_once(BODY).and_then(|(_, rest)| rest.lines().next());
    body.unwrap_or_else(|| panic!("{written}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

/// What [`fetch_apart`] runs.
#[expect(clippy::print_stdout, reason = "another process reads it")]
async fn fetch_here(url: &str) {
    let proxy = match std::env::var(PROXY).unwrap().as_str() {
        "system" => Proxy::System,
        "none" => Proxy::None,
        url => Proxy::Url(url.parse().unwrap()),
    };
    let client = Client::new(NetworkOptions { proxy, ..NetworkOptions::default() }).unwrap();
    let body = fetch(&client, get(url)).await.unwrap();
    println!("{BODY}{}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn the_environment_says_which_requests_go_through_a_proxy() {
    if let Ok(url) = std::env::var(URL) {
        return fetch_here(&url).await;
    }
    let origin = kithara_origin::Origin::start(kithara_origin::Site::new().bytes("/a", "origin")).unwrap();
    let (addr, _) = proxy().await;
    let (there, dead) = (format!("http://{addr}"), "http://127.0.0.1:9".to_owned());
    let set = |name, value: &str| (name, value.to_owned());
    let by = |name| (name, there.clone());
    let table = [
        ("system", vec![], "origin"),
        ("system", vec![by("HTTP_PROXY")], "proxy"),
        ("system", vec![by("http_proxy")], "proxy"),
        ("system", vec![by("ALL_PROXY")], "proxy"),
        ("system", vec![("ALL_PROXY", format!("socks5h://{addr}"))], "proxy"),
        ("system", vec![by("HTTP_PROXY"), ("ALL_PROXY", dead.clone())], "proxy"),
        ("system", vec![("HTTPS_PROXY", dead.clone())], "origin"),
        ("system", vec![by("HTTP_PROXY"), set("NO_PROXY", "127.0.0.0/8")], "origin"),
        ("system", vec![by("HTTP_PROXY"), set("NO_PROXY", "h.example, 127.0.0.1")], "origin"),
        ("system", vec![by("HTTP_PROXY"), set("NO_PROXY", "*")], "proxy"),
        ("system", vec![by("HTTP_PROXY"), set("NO_PROXY", "h.example")], "proxy"),
        ("none", vec![("HTTP_PROXY", dead.clone()), ("ALL_PROXY", dead.clone())], "origin"),
        (&there, vec![("HTTP_PROXY", dead), set("NO_PROXY", "*")], "proxy"),
    ];
    for (proxy, environment, want) in table {
        assert_eq!(fetch_apart(&origin.url("/a"), proxy, &environment).await, want, "{proxy} {environment:?}");
    }
    let named = origin.url("/a").replace("127.0.0.1", "localhost");
    for (no_proxy, want) in [("*", "origin"), (".localhost", "origin"), ("host", "proxy"), ("127.0.0.1", "proxy")] {
        let environment = [by("HTTP_PROXY"), set("NO_PROXY", no_proxy)];
        assert_eq!(fetch_apart(&named, "system", &environment).await, want, "{no_proxy}");
    }
}
