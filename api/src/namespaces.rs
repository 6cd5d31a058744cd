//! `/api/namespaces`: list, create, show, enable and disable.
//!
//! Disabling a namespace is a hint to people and gateways; its events are still counted, because
//! they were accepted. A namespace must not be renamed: its code is a label of counters.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use event::limits::NAMESPACE_BYTES_MAX;
use event::name::check_namespace;
use http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use service::answer::{Answer, ApiError, Failure, Success};
use service::http_metrics::NamespaceLabel;
use service::query::{NoParameters, quoted};
use store::{NamespaceFilter, NamespaceRow, NamespaceStatus};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use crate::answers::{About, Answers, Known, Question, of_moment};
use crate::body::read_json;
use crate::error::Error;
use crate::params::{Params, Segment, described, described_number};
use crate::snapshot::{Scope, Snapshot};
use crate::view::moment;

/// Largest body of a request, bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest name, characters.
const NAME_CHARS_MAX: usize = 128;
/// Default and largest number of rows on a page.
const PAGE_SIZE: (i64, i64) = (20, 1_000);
/// Highest page number: beyond the end of any list.
const PAGE_MAX: i64 = 1_000_000;
/// Longest keyword, characters.
const KEYWORD_CHARS_MAX: usize = 128;
/// Every status of a namespace.
const STATUSES: [NamespaceStatus; 2] = [NamespaceStatus::Enabled, NamespaceStatus::Disabled];

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Namespace)]
pub(crate) struct NamespaceView {
    id: i64,
    /// The label of its counters; it never changes.
    code: String,
    name: String,
    #[schema(schema_with = status_words)]
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NamespacePage)]
pub(crate) struct PageView {
    items: Vec<NamespaceView>,
    /// Namespaces on all pages.
    total: i64,
    page: i64,
    size: i64,
    pages: i64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewNamespace {
    #[schema(schema_with = code)]
    code: String,
    /// 1 to 128 characters, none of them a control character. Default: the code.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    name: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    #[schema(schema_with = status_words)]
    status: String,
}

fn code() -> ObjectBuilder {
    let text = "A letter, then letters, digits and `-_.:/`; not `all`, `none` or `other`.";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(text))
        .max_length(Some(NAMESPACE_BYTES_MAX))
        .pattern(Some("^(?!(all|none|other)$)[A-Za-z][A-Za-z0-9_.:/-]*$"))
}

fn status_words() -> ObjectBuilder {
    let words = STATUSES.map(NamespaceStatus::word);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

impl NamespaceView {
    fn of(row: NamespaceRow) -> NamespaceView {
        NamespaceView {
            id: row.id,
            code: row.code,
            name: row.name,
            status: row.status.word(),
            created_at: moment(row.created_us),
            updated_at: moment(row.updated_us),
        }
    }
}

/// The parameters of a list, as they are described.
pub(crate) struct ListQuery;

impl IntoParams for ListQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let (size, size_max) = PAGE_SIZE;
        let keyword =
            ObjectBuilder::new().schema_type(Type::String).max_length(Some(KEYWORD_CHARS_MAX));
        vec![
            described_number("page", "Page of the list. Empty: the first.", 1, PAGE_MAX),
            described_number("size", "Namespaces of a page. Empty: the default.", size, size_max),
            described("keyword", "A part of code or name, in any case. Empty: all.", keyword)
                .build(),
            described("status", "Only those of this status. Empty: all.", status_words()).build(),
        ]
    }
}

/// One page of the list.
#[utoipa::path(
    get, path = "/api/namespaces", operation_id = "listNamespaces", tag = "Namespaces",
    params(ListQuery),
    responses((status = 200, description = "A page.", body = Success<PageView>)),
)]
pub(crate) async fn list(State(answers): State<Answers>, uri: Uri) -> Result<Known, ApiError> {
    let params = Params::of(&uri, &["page", "size", "keyword", "status"])?;
    let filter = filter(&params)?;
    answers.answer(params.key("namespaces", &[]), &List { filter }).await
}

struct List {
    filter: NamespaceFilter,
}

impl Question for List {
    type Data = PageView;
    const ABOUT: About = About::Config;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, PageView), Error> {
        let NamespaceFilter { page, size, .. } = self.filter;
        let found = snapshot.reader.namespaces(&self.filter).await?;
        let view = PageView {
            items: found.items.into_iter().map(NamespaceView::of).collect(),
            total: found.total,
            page,
            size,
            pages: (found.total + size - 1) / size,
        };
        Ok((Scope::All, view))
    }
}

fn filter(params: &Params) -> Result<NamespaceFilter, Error> {
    let keyword = params.get("keyword").map(str::to_owned);
    if keyword.as_ref().is_some_and(|text| text.chars().count() > KEYWORD_CHARS_MAX) {
        let message = format!("keyword must be at most {KEYWORD_CHARS_MAX} characters");
        return Err(Error::Request(message));
    }
    let (size, size_max) = PAGE_SIZE;
    Ok(NamespaceFilter {
        page: params.number("page", 1, PAGE_MAX)?,
        size: params.number("size", size, size_max)?,
        keyword,
        status: params.get("status").map(status).transpose()?,
    })
}

/// Creates a namespace.
///
/// Ingest registers namespaces itself too; a namespace is never deleted.
#[utoipa::path(
    post, path = "/api/namespaces", operation_id = "createNamespace", tag = "Namespaces",
    request_body(content = NewNamespace, description = "At most 16 KiB."),
    responses(
        (status = 201, description = "The new namespace.", body = Success<NamespaceView>),
        (status = 400, description = "The body breaks a rule, or a parameter was given; the \
            message says which and where.", body = Failure),
        (status = 409, description = "The code exists.", body = Failure),
        (status = 413, description = "The body is larger than 16 KiB.", body = Failure),
        (status = 415, description = "The Content-Type is not application/json.", body = Failure),
    ),
)]
pub(crate) async fn create(
    State(answers): State<Answers>,
    _: NoParameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let new: NewNamespace = read_json(&headers, body, BODY_BYTES_MAX).await?;
    check_namespace(&new.code)
        .map_err(|rule| Error::Request(format!("code {} {rule}", quoted(&new.code))))?;
    let name = new.name.unwrap_or_else(|| new.code.clone());
    check_name(&name)?;
    let store = &answers.parts.store;
    let row = store.create_namespace(&new.code, &name).await.map_err(Error::from)?;
    answers.config_changed();
    tracing::info!(namespace = %row.code, "namespace created");
    let label = NamespaceLabel(row.code.clone());
    let mut response = Answer::created(NamespaceView::of(row)).into_response();
    response.extensions_mut().insert(label);
    Ok(response)
}

fn check_name(name: &str) -> Result<(), Error> {
    let n_chars = name.chars().count();
    if n_chars == 0 || n_chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let rule =
            format!("must be 1 to {NAME_CHARS_MAX} characters, none of them a control character");
        return Err(Error::Request(format!("name {rule}")));
    }
    Ok(())
}

/// One namespace.
#[utoipa::path(
    get, path = "/api/namespaces/{id}", operation_id = "showNamespace", tag = "Namespaces",
    params(("id" = String, Path, min_length = 1, description = "Number or code.")),
    responses(
        (status = 200, description = "The namespace.", body = Success<NamespaceView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
pub(crate) async fn show(
    State(answers): State<Answers>,
    Segment(name): Segment,
    _: NoParameters,
) -> Result<Known, ApiError> {
    answers.answer(format!("namespace&{name:?}"), &One { name }).await
}

struct One {
    name: String,
}

impl Question for One {
    type Data = NamespaceView;
    const ABOUT: About = About::Config;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, NamespaceView), Error> {
        let row = find(snapshot, &self.name).await?;
        Ok((Scope::One(row.clone()), NamespaceView::of(row)))
    }
}

/// Enables or disables a namespace.
///
/// Events of a disabled namespace are still counted.
#[utoipa::path(
    put, path = "/api/namespaces/{id}/status", operation_id = "setNamespaceStatus",
    tag = "Namespaces",
    params(("id" = String, Path, min_length = 1, description = "Number or code.")),
    request_body(content = NewStatus, description = "At most 16 KiB."),
    responses(
        (status = 200, description = "The changed namespace.", body = Success<NamespaceView>),
        (status = 400, description = "The body breaks a rule, or a parameter was given; the \
            message says which and where.", body = Failure),
        (status = 404, description = "There is no such namespace.", body = Failure),
        (status = 413, description = "The body is larger than 16 KiB.", body = Failure),
        (status = 415, description = "The Content-Type is not application/json.", body = Failure),
    ),
)]
pub(crate) async fn set_status(
    State(answers): State<Answers>,
    Segment(name): Segment,
    _: NoParameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut snapshot = Snapshot::open(&answers.parts).await?;
    let id = find(&mut snapshot, &name).await?.id;
    drop(snapshot);
    let new: NewStatus = read_json(&headers, body, BODY_BYTES_MAX).await?;
    let status = status(&new.status)?;
    let store = &answers.parts.store;
    let row = store.set_namespace_status(id, status).await.map_err(Error::from)?;
    let row = row.ok_or_else(|| Error::NoNamespace(quoted(&name)))?;
    answers.config_changed();
    tracing::info!(namespace = %row.code, status = status.word(), "namespace status changed");
    let code = row.code.clone();
    Ok(of_moment(Answer::ok(NamespaceView::of(row)), Some(code)))
}

/// The namespace that a path names; `all` does not name one.
async fn find(snapshot: &mut Snapshot, name: &str) -> Result<NamespaceRow, Error> {
    match snapshot.scope(name).await? {
        Scope::One(row) => Ok(row),
        Scope::All => Err(Error::NoNamespace(quoted(name))),
    }
}

fn status(text: &str) -> Result<NamespaceStatus, Error> {
    STATUSES.into_iter().find(|status| status.word() == text).ok_or_else(|| {
        Error::Request(format!("status must be enabled or disabled, not {}", quoted(text)))
    })
}
