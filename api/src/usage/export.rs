//! `/api/usage/export`: all groups of a question in one answer, from one version of the ledger.
//!
//! Groups are written as they are read: whatever their number, few are held. While it is sent, an
//! answer holds a reader of the ledger and the permit of its query, so both the time that a client
//! takes for a piece and that for the whole are bounded. An answer that is not sent to its end is
//! cut off, so that no client takes it for a whole one.

use std::io;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use csv::{Terminator, WriterBuilder};
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, Uri};
use ledger::query::QueryError;
use serde::Serialize;
use service::answer::{ApiError, Failure, Success};
use service::http_metrics::NamespaceLabel;
use service::query::quoted;
use store::usage::{UsageGroup, UsageTotal};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::READ_AHEAD;
use super::ask::{Asked, Meant, UsageQuery, params};
use super::view::{ItemView, TotalsView, cells, header, kept_since, previous_range};
use crate::answers::Answers;
use crate::error::Error;
use crate::limit::Permit;
use crate::params::{Params, described, text};
use crate::range::Cover;
use crate::snapshot::Snapshot;
use crate::view::{AsOfView, moment};

/// Longest time that a client may take for a piece of the answer.
const STALL_MAX: Duration = Duration::from_secs(10);
/// Longest time for the whole answer.
const EXPORT_MAX: Duration = Duration::from_secs(300);
/// Groups of a piece: about 100 KB.
const PIECE_GROUPS: usize = 500;
/// Pieces that are ready before the client takes them.
const PIECES_AHEAD: usize = 2;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

/// Values of `format`; the first is the default.
const FORMATS: [(&str, Format); 2] = [("csv", Format::Csv), ("json", Format::Json)];

/// The parameter of the form, as it is described.
pub(crate) struct FormatQuery;

impl IntoParams for FormatQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = text().enum_values(Some(FORMATS.map(|(word, _)| word)));
        let words = words.default(Some(FORMATS[0].0.into()));
        vec![described("format", "The form of the answer.", words).build()]
    }
}

/// What an export says before its items.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageExportHead)]
struct HeadView {
    /// Code of the namespace, or `all`.
    namespace: String,
    /// What the items are grouped by.
    group_by: Vec<&'static str>,
    range: Cover,
    /// The period before; only with `compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_range: Option<Cover>,
    /// Usage before this is not retained; null while there are no rows.
    #[schema(required, format = DateTime)]
    kept_since: Option<String>,
    as_of: AsOfView,
}

/// What follows its items.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageExportTail)]
struct TailView {
    /// Number of groups.
    total: i64,
    /// Sums over all groups.
    totals: TotalsView,
}

/// All groups. It is written piece by piece, in this form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageExport)]
pub(crate) struct ExportView {
    #[serde(flatten)]
    head: HeadView,
    /// The groups, in the order that was asked for.
    items: Vec<ItemView>,
    #[serde(flatten)]
    tail: TailView,
}

/// All groups of a question as a file.
///
/// The parameters are those of `/api/usage`, without pages. CSV is RFC 4180 in UTF-8, with a header
/// and no row of totals; a name that a spreadsheet would take for a formula (`=`, `+`, `-`, `@`,
/// tab, carriage return), or that begins with `'`, has a `'` in front. An answer that cannot be
/// completed is cut off.
#[utoipa::path(
    get, path = "/api/usage/export", operation_id = "exportUsage", tag = "Usage",
    params(UsageQuery, FormatQuery),
    responses(
        (status = 200, description = "The groups.",
            content(
                (String = "text/csv"),
                (Success<ExportView> = "application/json"),
            ),
            headers(("Content-Disposition" = String, description = "The name of the file."))),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn export(
    State(answers): State<Answers>,
    Extension(permit): Extension<Permit>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let params = params(&uri, &["format"])?;
    let format = Format::of(&params)?;
    let asked = Asked::of(&params, &answers.parts.timezone)?;
    if answers.parts.is_ledger_down() {
        return Err(Error::LedgerDown.into());
    }
    let mut snapshot = Snapshot::open(&answers.parts).await?;
    let meant = asked.meant(&mut snapshot).await?;
    let namespace = meant.scope.code().map(str::to_owned);
    let name = format.file_name(&meant.window.cover());
    let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let end = Instant::now() + EXPORT_MAX;
    let writing = tokio::spawn(async move {
        let pieces = Pieces { sender, end };
        let done = Export { asked, meant, format }.write(&mut snapshot, &pieces).await;
        drop((snapshot, permit));
        done
    });
    // Whatever goes wrong before the first piece is an answer of its own.
    let Some(first) = pieces.recv().await else {
        return Err(match writing.await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => ApiError::internal(),
        });
    };
    let sent = Sent { first: Some(first), pieces, is_over: false };
    let mut response = Body::from_stream(unfold(sent, next)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_DISPOSITION, name);
    if let Some(code) = namespace {
        response.extensions_mut().insert(NamespaceLabel(code));
    }
    Ok(response)
}

impl Format {
    fn of(params: &Params) -> Result<Format, Error> {
        let Some(given) = params.get("format") else { return Ok(FORMATS[0].1) };
        let found = FORMATS.iter().find(|(word, _)| *word == given);
        found.map(|(_, format)| *format).ok_or_else(|| {
            let words = FORMATS.map(|(word, _)| word).join(" or ");
            Error::Request(format!("format must be {words}, not {}", quoted(given)))
        })
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Json => "application/json",
        }
    }

    /// The disposition that names the file by the local dates of its range.
    fn file_name(self, range: &Cover) -> HeaderValue {
        let word = FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(word, _)| word);
        let date =
            |end: &Option<String>| end.as_deref().and_then(|end| end.get(..10)).map(str::to_owned);
        let dates = [&range.from, &range.to].map(|end| date(end).unwrap_or_default());
        let text = format!("attachment; filename=\"usage-{}.{word}\"", dates.join("-to-"));
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
    }
}

/// Pieces on their way to the client; `None` is the end of a whole answer.
struct Pieces {
    sender: mpsc::Sender<Option<Bytes>>,
    end: Instant,
}

impl Pieces {
    /// Waits until there is room for a piece.
    async fn send(&self, piece: Option<Bytes>) -> Result<(), Error> {
        let end = self.end.min(Instant::now() + STALL_MAX);
        match timeout_at(end, self.sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::NotTaken),
        }
    }
}

/// The body of an answer.
struct Sent {
    first: Option<Option<Bytes>>,
    pieces: mpsc::Receiver<Option<Bytes>>,
    is_over: bool,
}

async fn next(mut sent: Sent) -> Option<(io::Result<Bytes>, Sent)> {
    if sent.is_over {
        return None;
    }
    let piece = match sent.first.take() {
        Some(first) => Some(first),
        None => sent.pieces.recv().await,
    };
    match piece {
        Some(piece) => piece.map(|piece| (Ok(piece), sent)),
        None => {
            sent.is_over = true;
            Some((Err(io::Error::other("the export was cut off")), sent))
        }
    }
}

/// An export that is being written.
struct Export {
    asked: Asked,
    meant: Meant,
    format: Format,
}

impl Export {
    /// Writes the answer, and logs why if it is cut off.
    async fn write(&self, snapshot: &mut Snapshot, pieces: &Pieces) -> Result<(), Error> {
        let done = match timeout_at(pieces.end, self.write_all(snapshot, pieces)).await {
            Ok(done) => done,
            Err(_) => Err(Error::NotTaken),
        };
        if let Err(error) = &done {
            tracing::warn!(error = %service::chain(error), "an export was cut off");
        }
        done
    }

    async fn write_all(&self, snapshot: &mut Snapshot, pieces: &Pieces) -> Result<(), Error> {
        let (as_of, now_us) = (snapshot.as_of(), snapshot.now_us);
        let ask = self.meant.ask();
        let (taker, mut taken) = mpsc::channel(READ_AHEAD);
        let read = async { snapshot.reader.each_usage(&ask, taker).await.map_err(Error::from) };
        let write = async move {
            let mut total = UsageTotal::none(&self.meant.ask());
            let (mut text, mut groups) = (self.head(as_of)?, Vec::new());
            while let Some(group) = taken.recv().await {
                if !self.meant.lets_pass(&group) {
                    continue;
                }
                let is_first = total.n_groups == 0;
                total.add(&group).ok_or(QueryError::TooLarge)?;
                if groups.is_empty() && !is_first && self.format == Format::Json {
                    text.push(b',');
                }
                groups.push(group);
                if groups.len() == PIECE_GROUPS {
                    self.items(&groups, &mut text)?;
                    pieces.send(Some(std::mem::take(&mut text).into())).await?;
                    groups.clear();
                }
            }
            self.items(&groups, &mut text)?;
            self.tail(&total, now_us, &mut text)?;
            Ok::<_, Error>(text)
        };
        // The end is written once the last row is known to be the last.
        let ((), text) = tokio::try_join!(read, write)?;
        pieces.send(Some(text.into())).await?;
        pieces.send(None).await
    }

    /// What comes before the items.
    fn head(&self, as_of: AsOfView) -> Result<Vec<u8>, Error> {
        let words = self.asked.by.iter().map(|(word, _)| *word);
        if self.format == Format::Csv {
            let names = header(words, self.meant.before.is_some());
            return table(std::iter::once(names));
        }
        let head = HeadView {
            namespace: self.meant.scope.label().to_owned(),
            group_by: words.collect(),
            range: self.meant.window.cover(),
            previous_range: previous_range(&self.meant),
            kept_since: kept_since(&self.meant),
            as_of,
        };
        let mut text = br#"{"code":200,"message":"success","data":"#.to_vec();
        serde_json::to_writer(&mut text, &head)?;
        text.pop();
        text.extend_from_slice(br#","items":["#);
        Ok(text)
    }

    fn items(&self, groups: &[UsageGroup], text: &mut Vec<u8>) -> Result<(), Error> {
        let Export { asked, meant, format } = self;
        if *format == Format::Csv {
            let rows = groups.iter().map(|group| cells(&asked.by, meant, group));
            text.append(&mut table(rows)?);
            return Ok(());
        }
        for (idx, group) in groups.iter().enumerate() {
            if idx > 0 {
                text.push(b',');
            }
            serde_json::to_writer(&mut *text, &ItemView::of(&asked.by, meant, group))?;
        }
        Ok(())
    }

    /// What follows the items.
    fn tail(&self, total: &UsageTotal, now_us: i64, text: &mut Vec<u8>) -> Result<(), Error> {
        if self.format == Format::Csv {
            return Ok(());
        }
        text.extend_from_slice(b"],");
        let totals = TotalsView::of(total);
        let tail = serde_json::to_vec(&TailView { total: total.n_groups, totals })?;
        text.extend_from_slice(&tail[1..]);
        text.extend_from_slice(br#","timestamp":"#);
        serde_json::to_writer(&mut *text, &moment(now_us))?;
        text.push(b'}');
        Ok(())
    }
}

/// Rows as CSV.
fn table(rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, Error> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| Error::Table(error.into()))?;
    }
    writer.into_inner().map_err(|error| Error::Table(error.into_error()))
}
