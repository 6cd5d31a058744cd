//! A separate ingest, beside the stack's: it is cut off from the ledger while messages of new names
//! wait in its raw topic, so that they stay unread for longer than a minute.

use std::net::SocketAddr;

use proxy::faults::Flow;
use proxy::proxy::Proxy;

use super::Stage;
use super::ready::{not_ready, ready};
use super::sight::Sight;
use super::stages::{event, publish_to};
use crate::beside::Role;
use crate::gatemeter::{free_ports, get, sum, wait_for};
use crate::stack::Stack;

const TOPIC: &str = "gatemeter.stalled";

pub struct Stalled {
    port: u16,
    ledger: Proxy,
    _role: Role,
}

impl Stalled {
    /// Starts it, and cuts it off once it reads.
    pub fn begin(stack: &Stack) -> Stalled {
        let server = SocketAddr::from(([127, 0, 0, 1], stack.port("mysql")));
        let ledger = stack.runtime.block_on(Proxy::start(server)).expect("a free port");
        let [port, ..] = free_ports();
        let env = [
            ("GATEMETER_MYSQL__PORT", ledger.address().port().to_string()),
            ("GATEMETER_KAFKA__RAW_TOPICS", TOPIC.to_owned()),
            ("GATEMETER_KAFKA__RAW_GROUP", TOPIC.to_owned()),
        ];
        let role = stack.role("ingest", port, "ingest-stalled", &env);
        let stalled = Stalled { port, ledger, _role: role };
        wait_for("it reads its topic", || {
            let series = format!("gatemeter_raw_stalled_partitions{{topic=\"{TOPIC}\"}}");
            get(port, "/metrics", &[]).is_some_and(|page| page.body.contains(&series))
        });
        ready(port);
        stalled.ledger.set(|faults| {
            faults.to_server.flow = Flow::Blackhole;
            faults.to_client.flow = Flow::Blackhole;
        });
        let mut strange = event("nobody-reads-it");
        strange["namespace"] = "never-heard-of".into();
        publish_to(stack, TOPIC, vec![strange.to_string().into()]);
        stalled
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it says so, and mends it.
    pub fn is_told_and_ends(&self, sight: &Sight) {
        wait_for("the message is seen to wait", || self.waits("gatemeter_raw_lag_messages") == 1);
        sight.all_fired(Stage::Stalled);
        not_ready(
            self.port,
            &format!("messages of {TOPIC} have been unread for 60 s in partitions"),
        );
        self.ledger.heal();
        ready(self.port);
        wait_for("it is read", || self.waits("gatemeter_raw_lag_messages") == 0);
        wait_for("nothing stands still", || self.waits("gatemeter_raw_stalled_partitions") == 0);
    }

    fn waits(&self, name: &str) -> i64 {
        let page = get(self.port, "/metrics", &[]).map_or_else(String::new, |page| page.body);
        sum(&page, &format!("{name}{{topic=\"{TOPIC}\"}}"))
    }
}
