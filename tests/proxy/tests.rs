//! The proxy between a client and an echo, and between a client and a hand-made MySQL server.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::commit::{packet, query};
use crate::faults::{Accept, Flow};
use crate::proxy::Proxy;

const DEADLINE: Duration = Duration::from_secs(30);

/// A server that sends back what it gets, and the end as well.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

/// A client whose every wait has a deadline.
struct Client(TcpStream);

impl Client {
    async fn connect(proxy: &Proxy) -> Client {
        Client(TcpStream::connect(proxy.address()).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next `n` bytes, or the kind of error that came before them.
    async fn receive(&mut self, n: usize) -> Result<Vec<u8>, ErrorKind> {
        let mut bytes = vec![0; n];
        let read = tokio::time::timeout(DEADLINE, self.0.read_exact(&mut bytes)).await;
        read.expect("something in time").map(|_| bytes).map_err(|error| error.kind())
    }

    async fn assert_echo(&mut self, bytes: &[u8]) {
        self.send(bytes).await;
        assert_eq!(self.receive(bytes.len()).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn new_connections_lead_to_another_server_and_open_ones_stay() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut old = Client::connect(&proxy).await;
    old.assert_echo(b"old").await;
    // Nobody listens on a port that was bound and given back.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    proxy.lead_to(gone);
    let mut lost = Client::connect(&proxy).await;
    assert!(lost.receive(1).await.is_err());
    old.assert_echo(b"still there").await;
    proxy.lead_to(echo().await);
    Client::connect(&proxy).await.assert_echo(b"new").await;
}

#[tokio::test]
async fn without_a_fault_bytes_and_the_end_pass_both_ways() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let client = Client::connect(&proxy).await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut read, mut write) = client.0.into_split();
    let sent = bytes.clone();
    let sender = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    let whole = read.read_to_end(&mut received);
    tokio::time::timeout(DEADLINE, whole).await.expect("the end in time").unwrap();
    sender.await.unwrap();
    assert!(received == bytes);
    let seen = proxy.seen();
    assert_eq!((seen.n_joined, seen.n_reset, seen.n_bytes_from_server), (1, 0, 1_000_000));
}

#[tokio::test]
async fn delay_holds_each_direction_back_and_can_be_switched_off() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut client = Client::connect(&proxy).await;
    let delay = Duration::from_millis(80);
    proxy.set(|faults| {
        faults.to_server.delay = delay;
        faults.to_client.delay = delay;
    });
    let began = Instant::now();
    client.assert_echo(b"slow").await;
    assert!(began.elapsed() >= 2 * delay, "{:?}", began.elapsed());
    proxy.heal();
    client.assert_echo(b"fast").await;
}

#[tokio::test]
async fn black_hole_swallows_no_byte_but_lets_none_pass_until_it_is_gone() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut client = Client::connect(&proxy).await;
    client.assert_echo(b"before").await;
    proxy.set(|faults| faults.to_client.flow = Flow::Blackhole);
    client.send(b"answer lost").await;
    // The server took it and answered; the answer stands in the proxy.
    proxy.wait("the answer is held", |seen| seen.n_bytes_from_server == 6 + 11).await;
    let mut one = [0; 1];
    assert_eq!(client.0.try_read(&mut one).unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.set(|faults| faults.to_server.flow = Flow::Blackhole);
    client.send(b"request lost").await;
    proxy.wait("the request is held", |seen| seen.n_bytes_from_client == 6 + 11 + 12).await;
    assert_eq!(proxy.seen().n_bytes_from_server, 6 + 11);
    proxy.heal();
    assert_eq!(client.receive(23).await.unwrap(), b"answer lostrequest lost");
    assert_eq!(proxy.seen().n_reset, 0);
}

#[tokio::test]
async fn cut_resets_what_is_open_and_spares_what_comes_after() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut old = Client::connect(&proxy).await;
    old.assert_echo(b"a").await;
    proxy.cut();
    assert_eq!(old.receive(1).await.unwrap_err(), ErrorKind::ConnectionReset);
    Client::connect(&proxy).await.assert_echo(b"b").await;
}

#[tokio::test]
async fn new_connections_are_reset_while_told_so_and_open_ones_stay() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut old = Client::connect(&proxy).await;
    old.assert_echo(b"a").await;
    proxy.set(|faults| faults.accept = Accept::Reset);
    let mut new = Client::connect(&proxy).await;
    assert_eq!(new.receive(1).await.unwrap_err(), ErrorKind::ConnectionReset);
    old.assert_echo(b"b").await;
    proxy.heal();
    Client::connect(&proxy).await.assert_echo(b"c").await;
    assert_eq!((proxy.seen().n_joined, proxy.seen().n_reset), (2, 1));
}

#[tokio::test]
async fn server_that_is_down_looks_like_a_reset() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(unused).await.unwrap();
    let mut client = Client::connect(&proxy).await;
    assert_eq!(client.receive(1).await.unwrap_err(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn budget_lets_so_many_bytes_pass_and_cuts_at_the_next() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut client = Client::connect(&proxy).await;
    client.assert_echo(b"before").await;
    proxy.set(|faults| faults.to_server.n_bytes_left = Some(10));
    client.assert_echo(b"0123456789").await;
    assert_eq!(proxy.faults().to_server.n_bytes_left, Some(0));
    client.send(b"x").await;
    assert_eq!(client.receive(1).await.unwrap_err(), ErrorKind::ConnectionReset);
    // In the middle of a piece: what is allowed goes out before the cut.
    proxy.set(|faults| faults.to_server.n_bytes_left = Some(4));
    let mut client = Client::connect(&proxy).await;
    client.send(b"abcdef").await;
    assert_eq!(client.receive(1).await.unwrap_err(), ErrorKind::ConnectionReset);
    proxy.wait("both were cut", |seen| seen.n_reset == 2).await;
    proxy.heal();
    Client::connect(&proxy).await.assert_echo(b"after").await;
}

/// A server that greets, answers every packet with an OK packet, and passes the payloads to the
/// test.
async fn mysql() -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (payload_sender, payloads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let payload_sender = payload_sender.clone();
            tokio::spawn(talk(stream, payload_sender));
        }
    });
    (address, payloads)
}

async fn talk(
    mut stream: TcpStream,
    payload_sender: mpsc::UnboundedSender<Vec<u8>>,
) -> std::io::Result<()> {
    stream.write_all(&packet(0, b"\x0agreeting")).await?;
    loop {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        // A test that ended has no use for it.
        let _ = payload_sender.send(payload);
        stream.write_all(&ok(head[3].wrapping_add(1))).await?;
    }
}

fn ok(sequence: u8) -> Vec<u8> {
    packet(sequence, &[0, 0, 0, 2, 0, 0, 0])
}

/// Connects and logs in.
async fn session(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy).await;
    assert_eq!(client.receive(13).await.unwrap(), packet(0, b"\x0agreeting"));
    client.send(&packet(1, b"COMMIT as a name")).await;
    assert_eq!(client.receive(11).await.unwrap(), ok(2));
    client
}

impl Client {
    async fn assert_ok(&mut self, text: &str) {
        self.send(&query(text)).await;
        assert_eq!(self.receive(11).await.unwrap(), ok(1), "{text}");
    }
}

#[tokio::test]
async fn commit_reaches_the_server_and_its_answer_never_the_client() {
    let (server, mut payloads) = mysql().await;
    let proxy = Proxy::start(server).await.unwrap();
    let mut client = session(&proxy).await;
    for text in ["BEGIN", "INSERT INTO t VALUES ('COMMIT')", "COMMIT"] {
        client.assert_ok(text).await;
    }
    proxy.set(|faults| faults.n_commit_answers_dropped = 1);
    for text in ["BEGIN", "UPDATE t SET a = 1", "ROLLBACK", "BEGIN"] {
        client.assert_ok(text).await;
    }
    // Byte by byte, as the worst of networks has it.
    for byte in query("COMMIT") {
        client.send(&[byte]).await;
    }
    assert_eq!(client.receive(1).await.unwrap_err(), ErrorKind::ConnectionReset);
    let seen = proxy.wait("it was dropped", |seen| seen.n_commit_answers_dropped == 1).await;
    assert_eq!(seen.n_commits, 2);
    let mut client = session(&proxy).await;
    client.assert_ok("COMMIT").await;
    assert_eq!(proxy.faults().n_commit_answers_dropped, 0);
    drop(client);
    drop(proxy);
    let mut texts = Vec::new();
    while let Ok(payload) = payloads.try_recv() {
        texts.push(String::from_utf8_lossy(&payload).into_owned());
    }
    let n_commits = texts.iter().filter(|text| *text == "\u{3}COMMIT").count();
    assert_eq!(n_commits, 3, "{texts:?}");
}

#[tokio::test]
async fn each_connection_loses_its_own_answer_and_no_other() {
    let (server, _payloads) = mysql().await;
    let proxy = Proxy::start(server).await.unwrap();
    let (mut first, mut second) = (session(&proxy).await, session(&proxy).await);
    proxy.set(|faults| faults.n_commit_answers_dropped = 1);
    first.send(&query("commit;")).await;
    assert_eq!(first.receive(1).await.unwrap_err(), ErrorKind::ConnectionReset);
    second.assert_ok("SELECT 1").await;
    second.assert_ok("COMMIT").await;
    assert_eq!(proxy.seen().n_commits, 2);
}
