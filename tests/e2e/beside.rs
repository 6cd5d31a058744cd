//! Processes beside a stack, ended with the test.

use std::process::{Child, Command};

/// A process beside the test, stopped with it: its retries must not reach another's stack.
pub struct Background(pub Option<Child>);

impl Background {
    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.as_mut().is_none_or(|child| child.try_wait().expect("a child").is_some())
    }

    pub fn wait(mut self) {
        if let Some(mut child) = self.0.take() {
            child.wait().expect("a child");
        }
    }
}

/// A role, killed when it is dropped.
pub struct Role(pub Child);

impl Role {
    /// Ends it by signal, and waits until it has.
    pub fn stop(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "it does not run");
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
