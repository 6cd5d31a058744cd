//! The front end's own settings under a real nginx, with a name server and apis of the test: an api
//! that is recreated at another address is found again, whatever the name server answers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::gatemeter::{free_ports, get, repository, wait_for};

/// What the name server says of how long an answer holds, as Docker's does.
const TTL_S: u32 = 600;
/// Longest wait until another address is used: names are asked for every second.
const FOLLOW_MAX: Duration = Duration::from_secs(5);

/// Answers every question with the address of the moment; nothing while there is none.
fn name_server(address: Arc<Mutex<Option<Ipv4Addr>>>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = socket.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let mut packet = [0_u8; 512];
        while let Ok((n, from)) = socket.recv_from(&mut packet) {
            let question = &packet[12..n];
            let end = question.iter().position(|byte| *byte == 0).expect("the end of a name") + 5;
            let address = *address.lock().expect("no holder panics");
            let is_a = question[end - 4..end - 2] == [0, 1];
            let found = address.filter(|_| is_a);
            // RFC 1035: an answer, or that there is no such name.
            let code = if address.is_none() { 3 } else { 0 };
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
            answer.extend(&question[..end]);
            if let Some(found) = found {
                answer.extend([0xc0, 12, 0, 1, 0, 1]);
                answer.extend(TTL_S.to_be_bytes());
                answer.extend([0, 4]);
                answer.extend(found.octets());
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

/// Answers one request after the other with its own address.
fn api(address: Ipv4Addr, port: u16) {
    let listener = TcpListener::bind((address, port)).expect("a free port");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4_096]);
            let body = address.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
}

/// An nginx in the foreground, ended with the test.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn start(folder: &std::path::Path, port: u16, api_port: u16, dns_port: u16) -> Nginx {
    let text = std::fs::read_to_string(repository("frontend/nginx.conf")).expect("settings");
    let own = folder.join("nginx").display().to_string();
    let mut text = text;
    for (theirs, ours) in [
        ("listen 3000", format!("listen 127.0.0.1:{port}")),
        ("//api:8001", format!("//api:{api_port}")),
        ("resolver 127.0.0.11", format!("resolver 127.0.0.1:{dns_port}")),
        ("/tmp/gatemeter-frontend", own),
    ] {
        assert!(text.contains(theirs), "{theirs}");
        text = text.replace(theirs, &ours);
    }
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).expect("written");
    let log = std::fs::File::create(folder.join("log")).expect("a log");
    let child = Command::new("/usr/sbin/nginx")
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&file)
        // The folder of the test is its owner's alone; for others nginx passes over the directive.
        .args(["-g", "user root;"])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn();
    Nginx(child.expect("nginx starts"))
}

#[test]
fn the_front_end_follows_the_api_to_another_address_and_is_well_only_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let [port, api_port, _] = free_ports();
    let (first, second) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 77));
    let address = Arc::new(Mutex::new(None));
    let _nginx = start(folder.path(), port, api_port, name_server(Arc::clone(&address)));
    let ask = |path: &str| get(port, path, &[]).map_or((0, String::new()), |a| (a.status, a.body));
    // It starts before anybody knows the api, and says so.
    wait_for("it answers", || ask("/healthz").0 == 502);
    for (place, name) in [(first, "127.0.0.1"), (second, "127.0.0.77")] {
        api(place, api_port);
        *address.lock().expect("no holder panics") = Some(place);
        let began = Instant::now();
        wait_for("it has found the api", || ask("/api/namespaces") == (200, name.to_owned()));
        assert!(began.elapsed() < FOLLOW_MAX, "{name}: {:?}", began.elapsed());
        assert_eq!(ask("/healthz"), (200, name.to_owned()), "the api itself says how it is");
        assert_eq!(ask("/metrics").0, 404, "metrics are for the api's own port");
    }
    // An address without a listener.
    *address.lock().expect("no holder panics") = Some(Ipv4Addr::new(127, 0, 0, 78));
    wait_for("it is not well without the api", || ask("/healthz").0 == 502);
}
