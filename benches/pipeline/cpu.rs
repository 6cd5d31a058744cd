//! CPU time of this process and of a child.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this process so far, nanoseconds.
pub fn own_nanos() -> u128 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u128::try_from(time.tv_sec).expect("time is positive") * 1_000_000_000
        + u128::try_from(time.tv_nsec).expect("time is positive")
}

/// CPU time of a child so far, nanoseconds, in steps of 10 ms (proc(5), fields 14 and 15 of stat).
pub fn child_nanos(pid: u32) -> u128 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the child lives");
    let fields = stat.rsplit_once(')').expect("the name is in brackets").1;
    let ticks: u128 =
        fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u128>().expect("ticks")).sum();
    ticks * 10_000_000
}
