//! From a question to the rows that answer it.
//!
//! A range is laid over what one reader sees, and its rows are summed bucket by bucket in the
//! store, and only in the columns that the answer shows. Whatever one answer shows comes from one
//! reader.

use event::{Outcome, UsageSource};
use ledger::measures::Measures;
use ledger::query::distribution::Distribution;
use ledger::query::sums::{Row, Sums};
use ledger::query::{QueryError, Series};
use ledger::series::ShortLabels;
use store::Reader;

use crate::error::Error;
use crate::range::{Ask, Kept, Rows, Window};

/// Lays a range over what the reader's ledger still has.
pub(crate) async fn window(reader: &mut Reader, ask: &Ask, now_us: i64) -> Result<Window, Error> {
    let kept = Kept {
        oldest_minute: reader.oldest_minute().await?,
        oldest_quarter: reader.oldest_quarter().await?,
    };
    ask.window(now_us, kept)
}

/// What an answer shows of its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Requests.
    Requests,
    /// Tokens and cost.
    Tokens,
}

impl Part {
    /// Measures that hold nothing but this part, as a row.
    fn row(self, source: UsageSource, measures: &Measures) -> Row<'_> {
        let (outcome, is_final) = (Outcome::Success, self == Part::Requests);
        Row { namespace: "", outcome, source, is_final, measures }
    }

    /// This part of a row.
    fn of(self, row: &Row<'_>) -> Measures {
        let Measures { n, tokens, cost_nano, .. } = *row.measures;
        match self {
            Part::Requests if row.is_final => Measures { n, ..Measures::default() },
            Part::Requests => Measures::default(),
            Part::Tokens => Measures { tokens, cost_nano, ..Measures::default() },
        }
    }
}

/// Sums per bucket, and what came before the first one.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// Starts of the buckets; the first is `earlier` if retention deleted rows of the range.
    pub labels: Vec<String>,
    /// Their sums of the part that was asked for, as many as there are labels.
    pub sums: Vec<Sums>,
    /// The sums of all buckets; for the range `all` they are the counter totals.
    pub total: Sums,
}

/// Label of the bucket for what is older than the rows that are kept.
const EARLIER: &str = "earlier";

/// The buckets of a window.
pub(crate) async fn buckets(
    reader: &mut Reader,
    window: &Window,
    namespace: Option<&str>,
    part: Part,
) -> Result<Buckets, Error> {
    let rows = kept(window);
    let mut series = Series::new(window.buckets());
    for range in window.buckets().ranges() {
        let start = range.start;
        match part {
            Part::Requests => {
                let requests = reader.requests(rows, range, namespace).await?;
                series.add(start, &part.row(UsageSource::None, &requests));
            }
            Part::Tokens => {
                let tokens = reader.tokens(rows, range, namespace).await?;
                series.add(start, &part.row(UsageSource::Reported, &tokens.reported));
                series.add(start, &part.row(UsageSource::Estimated, &tokens.estimated));
            }
        }
    }
    let (mut labels, mut sums) = (window.labels(), series.sums().to_vec());
    let mut total = series.total();
    if window.rows == Rows::Totals {
        total = Sums::default();
        for (labels, measures) in reader.total_rows(namespace).await? {
            let row = Row::full(&labels, &measures);
            total.add(&part.row(row.source, &part.of(&row)));
        }
        let earlier = series.earlier(&total)?;
        if !earlier.is_zero() {
            labels.insert(0, EARLIER.to_owned());
            sums.insert(0, earlier);
        }
    }
    Ok(Buckets { labels, sums, total })
}

/// The rows that a window is summed from.
fn kept(window: &Window) -> store::Rows {
    match window.rows {
        Rows::Minutes => store::Rows::Minutes,
        Rows::Quarters | Rows::Totals => store::Rows::Quarters,
    }
}

/// Adds the requests of a window to how they ended.
pub(crate) async fn distribute(
    reader: &mut Reader,
    window: &Window,
    distribution: &mut Distribution,
) -> Result<(), Error> {
    if window.rows == Rows::Totals {
        for (labels, measures) in reader.total_rows(None).await? {
            distribution.add(&Row::full(&labels, &measures));
        }
        return Ok(());
    }
    let whole = window.buckets().whole();
    for (namespace, outcome, measures) in reader.outcomes(kept(window), whole).await? {
        let (namespace, source, measures) = (&*namespace, UsageSource::None, &measures);
        distribution.add(&Row { namespace, outcome, source, is_final: true, measures });
    }
    Ok(())
}

/// The rows of a window, summed over all of it.
pub(crate) async fn whole(
    reader: &mut Reader,
    window: &Window,
    namespace: Option<&str>,
) -> Result<Vec<(ShortLabels, Measures)>, Error> {
    let range = window.buckets().whole();
    Ok(match window.rows {
        Rows::Minutes => reader.minute_sums(range, namespace).await?,
        Rows::Quarters => reader.quarter_sums(range, namespace).await?,
        Rows::Totals => {
            let rows = reader.total_rows(namespace).await?;
            rows.into_iter().map(|(labels, measures)| (labels.short(), measures)).collect()
        }
    })
}

/// One number of each bucket.
pub(crate) fn each<T>(
    sums: &[Sums],
    number: impl Fn(&Sums) -> Result<T, QueryError>,
) -> Result<Vec<T>, Error> {
    Ok(sums.iter().map(number).collect::<Result<_, _>>()?)
}
