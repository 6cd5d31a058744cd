//! From a question to the rows that answer it.
//!
//! A range is laid over what one reader sees, and its rows are summed bucket by bucket in the
//! store, so that an answer never holds more rows than a bucket has series. Whatever one answer
//! shows comes from one reader.

use ledger::measures::Measures;
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

/// Sums per bucket, and what came before the first one.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// Starts of the buckets; the first is `earlier` if retention deleted rows of the range.
    pub labels: Vec<String>,
    /// Their sums, as many as there are labels.
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
) -> Result<Buckets, Error> {
    let mut series = Series::new(window.buckets());
    for range in window.buckets().ranges() {
        let start = range.start;
        let rows = match window.rows {
            Rows::Minutes => reader.minute_sums(range, namespace).await?,
            Rows::Quarters | Rows::Totals => reader.quarter_sums(range, namespace).await?,
        };
        for (labels, measures) in &rows {
            series.add(start, &Row::short(labels, measures));
        }
    }
    let (mut labels, mut sums) = (window.labels(), series.sums().to_vec());
    let mut total = series.total();
    if window.rows == Rows::Totals {
        total = Sums::default();
        for (labels, measures) in reader.total_rows(namespace).await? {
            total.add(&Row::full(&labels, &measures));
        }
        let earlier = series.earlier(&total)?;
        if !earlier.is_zero() {
            labels.insert(0, EARLIER.to_owned());
            sums.insert(0, earlier);
        }
    }
    Ok(Buckets { labels, sums, total })
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
