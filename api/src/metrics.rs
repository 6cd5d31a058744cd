//! `status-distribution`, `request-trend` and `tokens`: how requests ended, when they came and
//! what they used.
//!
//! Requests are counted by their final attempts, tokens by every attempt, as on `/metrics`.

use std::collections::BTreeMap;

use axum::extract::State;
use http::Uri;
use ledger::query::distribution::{Distribution, SHOWN};
use ledger::query::sums::Sums;
use serde::Serialize;
use service::answer::ApiError;
use store::Reader;

use crate::answers::{About, Begun, Known};
use crate::context::Parts;
use crate::error::Error;
use crate::params::{Params, Segment};
use crate::range::{Ask, Cover, Name, RANGE_PARAMS, Window};
use crate::rows::{Part, buckets, distribute, each, window};
use crate::scope::Scope;
use crate::shared::Shared;
use crate::view::{AsOfView, TokenTotals};

/// Named numbers of a chart, one per label.
#[derive(Debug, Serialize)]
struct Dataset {
    label: String,
    data: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct Namespaces {
    enabled: i64,
    disabled: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct DistributionView {
    labels: Vec<&'static str>,
    datasets: Vec<Dataset>,
    totals: BTreeMap<&'static str, i64>,
    requests: i64,
    namespaces: Namespaces,
    range: Cover,
    as_of: AsOfView,
}

/// Requests by outcome, per namespace.
pub(crate) async fn status_distribution(
    State(shared): State<Shared>,
    uri: Uri,
) -> Result<Known, ApiError> {
    let Shared { parts, answers, .. } = shared;
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::Today, &parts.timezone)?;
    let key = params.key("status-distribution", &[zone(&parts)]);
    let mut asked = match answers.begin(&parts, About::Ledger, key).await? {
        Begun::Known(known) => return Ok(known),
        Begun::Open(asked) => asked,
    };
    let found = distribution(&mut asked.reader, &ask, asked.now_us).await;
    asked.answer(found.map(|view| (Scope::All, view))).await
}

pub(crate) async fn distribution(
    reader: &mut Reader,
    ask: &Ask,
    now_us: i64,
) -> Result<DistributionView, Error> {
    let window = window(reader, ask, now_us).await?;
    let namespaces = reader.namespaces_after(0).await?;
    let (enabled, disabled) = reader.namespace_counts().await?;
    let mut distribution = Distribution::of(namespaces.iter().map(|row| row.code.as_str()));
    distribute(reader, &window, &mut distribution).await?;
    let labels: Vec<&str> = SHOWN.iter().map(|outcome| outcome.word()).collect();
    let totals = distribution.totals()?;
    let datasets = distribution.namespaces()?.into_iter();
    Ok(DistributionView {
        datasets: datasets
            .map(|(code, data)| Dataset { label: code.into(), data: data.to_vec() })
            .collect(),
        totals: labels.iter().copied().zip(totals).collect(),
        requests: totals.iter().sum(),
        namespaces: Namespaces { enabled, disabled },
        range: window.cover(),
        as_of: AsOfView::of(reader.as_of()),
        labels,
    })
}

/// What every answer with buckets says about them.
#[derive(Debug, Serialize)]
struct Frame {
    labels: Vec<String>,
    datasets: Vec<Dataset>,
    step: &'static str,
    /// The usual length of a bucket; nothing for months.
    step_seconds: Option<i64>,
    timezone: String,
    range: Cover,
    as_of: AsOfView,
}

impl Frame {
    fn new(
        window: &Window,
        as_of: AsOfView,
        labels: Vec<String>,
        datasets: Vec<(&str, Vec<i64>)>,
    ) -> Frame {
        let datasets = datasets.into_iter();
        Frame {
            labels,
            datasets: datasets
                .map(|(label, data)| Dataset { label: label.to_owned(), data })
                .collect(),
            step: window.step.word(),
            step_seconds: window.step.seconds(),
            timezone: window.timezone(),
            range: window.cover(),
            as_of,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct TrendView {
    #[serde(flatten)]
    frame: Frame,
    total: i64,
}

/// Requests per bucket of time.
pub(crate) async fn request_trend(
    State(shared): State<Shared>,
    uri: Uri,
) -> Result<Known, ApiError> {
    let Shared { parts, answers, .. } = shared;
    let [range, from, to, tz] = RANGE_PARAMS;
    let params = Params::of(&uri, &["namespace", range, from, to, tz])?;
    let ask = Ask::of(&params, Name::Today, &parts.timezone)?;
    let key = params.key("request-trend", &[zone(&parts)]);
    let mut asked = match answers.begin(&parts, About::Ledger, key).await? {
        Begun::Known(known) => return Ok(known),
        Begun::Open(asked) => asked,
    };
    let scope = params.get("namespace").unwrap_or("all");
    let found = trend(&mut asked.reader, scope, &ask, asked.now_us).await;
    asked.answer(found).await
}

pub(crate) async fn trend(
    reader: &mut Reader,
    scope: &str,
    ask: &Ask,
    now_us: i64,
) -> Result<(Scope, TrendView), Error> {
    let scope = Scope::of(reader, scope).await?;
    let window = window(reader, ask, now_us).await?;
    let found = buckets(reader, &window, scope.code(), Part::Requests).await?;
    let data = each(&found.sums, Sums::requests)?;
    let as_of = AsOfView::of(reader.as_of());
    let frame = Frame::new(&window, as_of, found.labels, vec![(scope.label(), data)]);
    Ok((scope, TrendView { frame, total: found.total.requests().map_err(Error::from)? }))
}

#[derive(Debug, Serialize)]
pub(crate) struct TokensView {
    namespace: String,
    #[serde(flatten)]
    frame: Frame,
    totals: TokenTotals,
}

/// Tokens of a namespace, or of all, per bucket of time.
pub(crate) async fn tokens(
    State(shared): State<Shared>,
    Segment(scope): Segment,
    uri: Uri,
) -> Result<Known, ApiError> {
    let Shared { parts, answers, .. } = shared;
    let params = Params::of(&uri, &RANGE_PARAMS)?;
    let ask = Ask::of(&params, Name::Today, &parts.timezone)?;
    let key = params.key("tokens", &[&scope, zone(&parts)]);
    let mut asked = match answers.begin(&parts, About::Ledger, key).await? {
        Begun::Known(known) => return Ok(known),
        Begun::Open(asked) => asked,
    };
    let found = tokens_of(&mut asked.reader, &scope, &ask, asked.now_us).await;
    asked.answer(found).await
}

/// The zone of a question that names none: two processes may have other ones.
fn zone(parts: &Parts) -> &str {
    parts.timezone.iana_name().unwrap_or_default()
}

pub(crate) async fn tokens_of(
    reader: &mut Reader,
    scope: &str,
    ask: &Ask,
    now_us: i64,
) -> Result<(Scope, TokensView), Error> {
    let scope = Scope::of(reader, scope).await?;
    let window = window(reader, ask, now_us).await?;
    let found = buckets(reader, &window, scope.code(), Part::Tokens).await?;
    let tokens = each(&found.sums, Sums::tokens)?;
    let datasets = vec![
        ("input", tokens.iter().map(|sums| sums.input).collect()),
        ("output", tokens.iter().map(|sums| sums.output).collect()),
    ];
    let total = found.total.tokens()?;
    let view = TokensView {
        namespace: scope.label().to_owned(),
        frame: Frame::new(&window, AsOfView::of(reader.as_of()), found.labels, datasets),
        totals: TokenTotals::of(&total),
    };
    Ok((scope, view))
}
