//! `/api/usage`: who used what, in groups of any kind, page by page or as a whole.
//!
//! With a consumer, as group or filter, the answer comes from the rows of consumers; without one
//! from the full rows of quarter-hours, which know more and are kept longer.

mod ask;
mod view;
mod export;

use axum::extract::State;
use http::Uri;
use ledger::query::QueryError;
use serde::Serialize;
use service::answer::{ApiError, Failure, Success};
use store::usage::{UsageGroup, UsageTotal};
use tokio::sync::mpsc;
use utoipa::ToSchema;

pub(crate) use self::export::{__path_export, export};

use self::ask::{Asked, Meant, PageQuery, UsageQuery};
use self::view::{ItemView, TotalsView, kept_since, previous_range};
use crate::answers::{Answers, Known, Question};
use crate::error::Error;
use crate::range::Cover;
use crate::snapshot::{Scope, Snapshot};
use crate::view::AsOfView;

/// Groups that are read ahead of whoever takes them.
const READ_AHEAD: usize = 512;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(crate) struct UsageView {
    /// Code of the namespace, or `all`.
    namespace: String,
    /// What the items are grouped by.
    group_by: Vec<&'static str>,
    /// The groups of the page, in the order that was asked for.
    items: Vec<ItemView>,
    /// Number of groups on all pages.
    total: i64,
    page: i64,
    size: i64,
    pages: i64,
    /// Sums over all pages.
    totals: TotalsView,
    range: Cover,
    /// The period before; only with `compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_range: Option<Cover>,
    /// Usage before this is not retained; null while there are no rows.
    #[schema(required, format = DateTime)]
    kept_since: Option<String>,
    as_of: AsOfView,
}

/// Requests and tokens by any of namespace, consumer, model, upstream, endpoint, status and time.
///
/// Groups with the most tokens come first, if no order is given. The range is aligned outward to
/// 15 minutes. Default range: `today`.
#[utoipa::path(
    get, path = "/api/usage", tag = "Usage", params(UsageQuery, PageQuery),
    responses(
        (status = 200, description = "A page of groups.", body = Success<UsageView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn usage(State(answers): State<Answers>, uri: Uri) -> Result<Known, ApiError> {
    let params = ask::params(&uri, &["page", "size"])?;
    let (page, size) = ask::page(&params)?;
    let asked = Asked::of(&params, &answers.parts.timezone)?;
    let question = Usage { asked, page, size };
    answers.answer(params.key("usage", &[answers.parts.zone()]), &question).await
}

struct Usage {
    asked: Asked,
    page: i64,
    size: i64,
}

impl Question for Usage {
    type Data = UsageView;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, UsageView), Error> {
        let Usage { ref asked, page, size } = *self;
        let meant = asked.meant(snapshot).await?;
        let skip = (page - 1) * size;
        let (total, found) = match meant.is_search() {
            true => searched(snapshot, &meant, size, skip).await?,
            false => snapshot.reader.usage(&meant.ask(), size, skip).await?,
        };
        let view = UsageView {
            namespace: meant.scope.label().to_owned(),
            group_by: asked.by.iter().map(|(word, _)| *word).collect(),
            items: found.iter().map(|group| ItemView::of(&asked.by, &meant, group)).collect(),
            total: total.n_groups,
            page,
            size,
            pages: (total.n_groups + size - 1) / size,
            totals: TotalsView::of(&total),
            range: meant.window.cover(),
            previous_range: previous_range(&meant),
            kept_since: kept_since(&meant),
            as_of: snapshot.as_of(),
        };
        Ok((meant.scope, view))
    }
}

/// The groups that are searched for: their number and sums, and one page of them. All groups are
/// read, and those of the page kept.
async fn searched(
    snapshot: &mut Snapshot,
    meant: &Meant,
    size: i64,
    skip: i64,
) -> Result<(UsageTotal, Vec<UsageGroup>), Error> {
    let ask = meant.ask();
    let (taker, mut taken) = mpsc::channel(READ_AHEAD);
    let read = async { snapshot.reader.each_usage(&ask, taker).await.map_err(Error::from) };
    let pick = async {
        let (mut total, mut page) = (UsageTotal::none(&ask), Vec::new());
        while let Some(group) = taken.recv().await {
            if !meant.lets_pass(&group) {
                continue;
            }
            if (skip..skip + size).contains(&total.n_groups) {
                page.push(group.clone());
            }
            total.add(&group).ok_or(QueryError::TooLarge)?;
        }
        Ok::<_, Error>((total, page))
    };
    let ((), found) = tokio::try_join!(read, pick)?;
    Ok(found)
}
