//! Progress on stderr during a run: a bar on a terminal, otherwise a line now and then.
//!
//! Is notified of every answered batch; never blocks a send.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Pause between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Minimum pause between two notices.
const NOTICE_EVERY: Duration = Duration::from_secs(10);

/// Verbosity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Progress and remarks.
    Loud,
    /// No progress and no remarks.
    Quiet,
}

/// The progress of one run.
pub struct Progress {
    form: Form,
    started: Instant,
    n_events: u64,
    n_events_guess: Option<u64>,
}

/// Reports failures, even with `--quiet`: a run that hangs must show why.
#[derive(Default)]
pub struct Notices {
    bar: Option<ProgressBar>,
    last: Mutex<Option<Instant>>,
}

impl Notices {
    /// Writes a line to stderr, unless one was written a moment ago.
    pub fn report(&self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        {
            let mut last = self.last.lock().expect("no one panics while telling");
            if last.is_some_and(|last| now.duration_since(last) < NOTICE_EVERY) {
                return;
            }
            *last = Some(now);
        }
        match &self.bar {
            Some(bar) => bar.println(text()),
            None => eprintln!("{}", text()),
        }
    }
}

enum Form {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    /// Begins; `n_events_guess` is about how many events there will be, where that is known.
    pub fn new(voice: Voice, n_events_guess: Option<u64>) -> Progress {
        let started = Instant::now();
        let form = match voice {
            Voice::Quiet => Form::Nothing,
            Voice::Loud if std::io::stderr().is_terminal() => Form::Bar(bar(n_events_guess)),
            Voice::Loud => Form::Lines { last: started },
        };
        Progress { form, started, n_events: 0, n_events_guess }
    }

    /// Notices that do not break the bar.
    pub fn notices(&self) -> Notices {
        let bar = match &self.form {
            Form::Bar(bar) => Some(bar.clone()),
            Form::Lines { .. } | Form::Nothing => None,
        };
        Notices { bar, last: Mutex::default() }
    }

    /// `n_events` more are answered.
    pub fn advance(&mut self, n_events: u64) {
        self.n_events += n_events;
        let now = Instant::now();
        match &mut self.form {
            Form::Bar(bar) => {
                // Shares are drawn, so the guess may be a little low.
                if bar.length().is_some_and(|length| length < self.n_events) {
                    bar.set_length(self.n_events);
                }
                bar.set_position(self.n_events);
            }
            Form::Lines { last } if now.duration_since(*last) >= LINE_EVERY => {
                *last = now;
                let of = self.n_events_guess.map(|guess| format!(" of about {guess}"));
                let seconds = now.duration_since(self.started).as_secs();
                eprintln!("{}{} events after {seconds} s", self.n_events, of.unwrap_or_default());
            }
            Form::Lines { .. } | Form::Nothing => {}
        }
    }

    /// Ends; the bar is taken away.
    pub fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn bar(n_events_guess: Option<u64>) -> ProgressBar {
    let (bar, template) = match n_events_guess {
        Some(guess) => (
            ProgressBar::new(guess),
            "{bar:40} {human_pos}/{human_len} events  {per_sec}  {elapsed_precise}  {eta} left",
        ),
        None => {
            (ProgressBar::no_length(), "{spinner} {human_pos} events  {per_sec}  {elapsed_precise}")
        }
    };
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    bar.with_style(style)
}
