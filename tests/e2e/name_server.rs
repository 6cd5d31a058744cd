//! A name server for tests, over UDP and TCP, with configurable answers and misbehaviour.
//!
//! It knows one name. Its answers are set while it runs; it counts the queries.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Addresses of the name; none of the other family.
    Plain,
    /// The name is an alias of another, in the same answer.
    Alias,
    /// Addresses; the question for the other family is left unanswered.
    DeafToV6,
    /// Only the alias; the other name has to be asked for.
    AliasAlone,
    /// Too long for a datagram: the whole answer comes by TCP.
    Truncated,
    /// Answers to another question and bytes that are none, and then the right one.
    Noisy,
    /// Bytes that cannot be read, with the right id.
    Garbage,
    /// Never the right id.
    WrongId,
    /// Nothing at all.
    Silent,
    /// It failed (SERVFAIL).
    Failing,
    /// There is no such name.
    Absent,
}

/// Addresses, their time to live in seconds, and the manner.
type Zone = (Vec<Ipv4Addr>, u32, Manner);

/// Ends with the test.
#[derive(Debug)]
pub struct NameServer {
    pub port: u16,
    zone: Arc<Mutex<Zone>>,
    n_asked: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

const LOOK_EVERY: Duration = Duration::from_millis(20);
const A: u16 = 1;
const CNAME: u16 = 5;

impl NameServer {
    /// Starts on a port that is free for both.
    pub fn start() -> NameServer {
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
                let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .expect("a port that is free for both");
        let zone = Arc::new(Mutex::new((Vec::new(), 1, Manner::Absent)));
        let (n_asked, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let port = udp.local_addr().expect("an address").port();
        udp.set_read_timeout(Some(LOOK_EVERY)).expect("a timeout");
        tcp.set_nonblocking(true).expect("no waiting");
        let (zone_1, asked, ends_1) = (zone.clone(), n_asked.clone(), ends.clone());
        let by_udp = std::thread::spawn(move || serve_udp(&udp, &zone_1, &asked, &ends_1));
        let (zone_2, ends_2) = (zone.clone(), ends.clone());
        let by_tcp = std::thread::spawn(move || serve_tcp(&tcp, &zone_2, &ends_2));
        NameServer { port, zone, n_asked, ends, threads: vec![by_udp, by_tcp] }
    }

    /// From now on the name has these addresses: the last numbers of 127.0.0.x.
    pub fn say(&self, numbers: &[u8], ttl_s: u32, manner: Manner) {
        let addresses = numbers.iter().map(|number| Ipv4Addr::new(127, 0, 0, *number)).collect();
        *self.zone.lock().expect("a lock") = (addresses, ttl_s, manner);
    }

    pub fn n_asked(&self) -> usize {
        self.n_asked.load(Ordering::SeqCst)
    }

    fn end(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve_udp(socket: &UdpSocket, zone: &Mutex<Zone>, n_asked: &AtomicUsize, ends: &AtomicBool) {
    let mut bytes = [0_u8; 512];
    while !ends.load(Ordering::SeqCst) {
        let Ok((size, from)) = socket.recv_from(&mut bytes) else { continue };
        n_asked.fetch_add(1, Ordering::SeqCst);
        let query = &bytes[..size];
        let answers = zone.lock().expect("a lock").clone();
        for answer in datagrams(query, &answers) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn datagrams(query: &[u8], zone: &Zone) -> Vec<Vec<u8>> {
    let whole = reply(query, zone);
    let mut other = whole.clone();
    other[0] ^= 0x55;
    let asks_v4 = query[query.len() - 3] == A.to_be_bytes()[1];
    match zone.2 {
        Manner::Silent => vec![],
        Manner::DeafToV6 if !asks_v4 => vec![],
        Manner::WrongId => vec![other],
        Manner::Garbage => vec![[&query[..2], b"\x81\x80no answer at all"].concat()],
        Manner::Noisy => vec![vec![], vec![7], other, whole],
        Manner::Truncated => {
            let mut cut = reply(query, &(Vec::new(), zone.1, Manner::Plain));
            cut[2] |= 2;
            vec![cut]
        }
        _ => vec![whole],
    }
}

fn serve_tcp(listener: &TcpListener, zone: &Mutex<Zone>, ends: &AtomicBool) {
    while !ends.load(Ordering::SeqCst) {
        let Ok((mut stream, _)) = listener.accept() else {
            std::thread::park_timeout(LOOK_EVERY);
            continue;
        };
        stream.set_nonblocking(false).expect("waiting");
        let mut size = [0_u8; 2];
        if stream.read_exact(&mut size).is_err() {
            continue;
        }
        let mut query = vec![0_u8; usize::from(u16::from_be_bytes(size))];
        if stream.read_exact(&mut query).is_err() {
            continue;
        }
        let answer = reply(&query, &zone.lock().expect("a lock").clone());
        let size = u16::try_from(answer.len()).expect("a short answer").to_be_bytes();
        let _ = stream.write_all(&[&size[..], &answer].concat());
    }
}

/// A record whose name is the one asked for, or the alias if it is `\5alias`.
fn record(name: &[u8], kind: u16, ttl_s: u32, data: &[u8]) -> Vec<u8> {
    let size = u16::try_from(data.len()).expect("a short record");
    let fixed = [&kind.to_be_bytes()[..], &[0, 1], &ttl_s.to_be_bytes(), &size.to_be_bytes()];
    [name, &fixed.concat(), data].concat()
}

fn reply(query: &[u8], (addresses, ttl_s, manner): &Zone) -> Vec<u8> {
    const ASKED: &[u8] = &[0xc0, 12];
    const ALIAS: &[u8] = b"\x05alias\x04test\x00";
    let question = &query[12..];
    let kind = u16::from_be_bytes([query[query.len() - 4], query[query.len() - 3]]);
    let is_alias = question.starts_with(ALIAS);
    let mut records = Vec::new();
    let points = matches!(manner, Manner::Alias | Manner::AliasAlone) && !is_alias;
    if points {
        records.push(record(ASKED, CNAME, *ttl_s, ALIAS));
    }
    if kind == A && !matches!(manner, Manner::Absent | Manner::Failing) {
        let owner = if points { ALIAS } else { ASKED };
        if *manner != Manner::AliasAlone || is_alias {
            let new = |address: &Ipv4Addr| record(owner, A, *ttl_s, &address.octets());
            records.extend(addresses.iter().map(new));
        }
    }
    let code = match manner {
        Manner::Absent => 3,
        Manner::Failing => 2,
        _ => 0,
    };
    let n_records = u16::try_from(records.len()).expect("few records").to_be_bytes();
    let head = [&query[..2], &[0x81, 0x80 | code, 0, 1], &n_records, &[0, 0, 0, 0], question];
    [head.concat(), records.concat()].concat()
}
