//! The proxy as a test holds it: an address for the client, switches, and what was seen.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::faults::{Accept, Faults, Seen};
use crate::link::{Desk, join, reset};

/// After this long a test that waits for the proxy has hung.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running proxy. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// Where new connections lead to.
    server: watch::Sender<SocketAddr>,
    desk: Desk,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of this machine and joins what comes in to `server`, which need not
    /// be up yet: a connection is reset if the server takes none.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(server: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let desk = Desk {
            faults: watch::Sender::new(Faults::default()),
            seen: watch::Sender::new(Seen::default()),
            n_cuts: watch::Sender::new(0),
        };
        let mut tasks = JoinSet::new();
        let server = watch::Sender::new(server);
        tasks.spawn(accept(listener, server.subscribe(), desk.clone()));
        Ok(Proxy { address, server, desk, _tasks: tasks })
    }

    /// Where the client connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the faults; open connections feel it with the next piece.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.desk.faults.send_modify(change);
    }

    /// A good network again; what a black hole held back passes now.
    pub fn heal(&self) {
        self.set(|faults| *faults = Faults::default());
    }

    /// The faults as they are; those that count themselves down say what is left.
    pub fn faults(&self) -> Faults {
        self.desk.faults.borrow().clone()
    }

    /// Leads new connections to another server. Those that are open stay where they are, as they
    /// do when an address moves.
    pub fn lead_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    /// Resets every connection that is open.
    pub fn cut(&self) {
        self.desk.n_cuts.send_modify(|n_cuts| *n_cuts += 1);
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.desk.seen.borrow().clone()
    }

    /// Waits until what was seen is as wanted.
    ///
    /// # Panics
    /// It is not within 30 seconds.
    pub async fn wait(&self, what: &str, holds: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.desk.seen.subscribe();
        let waited = tokio::time::timeout(DEADLINE, seen.wait_for(holds)).await;
        match waited {
            Ok(Ok(seen)) => seen.clone(),
            _ => panic!("not within {DEADLINE:?}: {what}; seen: {:?}", self.seen()),
        }
    }
}

async fn accept(listener: TcpListener, server: watch::Receiver<SocketAddr>, desk: Desk) {
    // Connections end with this task, for the set aborts them when it is dropped.
    let mut links = JoinSet::new();
    loop {
        while links.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { return };
        // Packets pass as they come, so that timing is the client's and the faults' alone.
        let _ = client.set_nodelay(true);
        let (desk, server) = (desk.clone(), *server.borrow());
        links.spawn(async move {
            if desk.faults.borrow().accept == Accept::Reset {
                return reset(&desk, client);
            }
            match TcpStream::connect(server).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    join(&desk, client, stream).await;
                }
                Err(_) => reset(&desk, client),
            }
        });
    }
}
