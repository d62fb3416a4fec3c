use std::borrow::Cow;
use std::convert::Infallible;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use model::lru::{Counts, Lru};
use model::{Access, Code, Permission, Stage, limits};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use crate::audit::Event;
use crate::body::{self, Whole};
use crate::error::ApiError;
use crate::routes::{self, Takes};
use crate::state::{Shared, Turns, blocking, count};

/// Verified tokens.
mod cache;
/// What a token looks like.
pub mod text;
/// Tokens as they are stored.
pub mod tokens;

use cache::{Cache, Known};
use tokens::{LONGEST, Token, Tokens};

/// Tokens that are looked up at once: each takes a thread that may wait for the disk.
const LOOKUPS: usize = 4;
/// How long an address that failed too often is told to wait.
const PENALTY: Duration = Duration::from_secs(5);
/// Addresses that wait so at once.
const PENALISED: usize = 10_000;

/// How tokens are verified.
#[derive(Debug, Clone, Copy)]
pub struct AuthConfig {
    pub cache_ttl: Duration,
    pub max_cache_size: usize,
    /// Per address; zero: no bound.
    pub failures_per_minute: u32,
}

/// Who may come in.
#[derive(Debug)]
pub struct Auth {
    /// None opens everything.
    tokens: Option<Arc<Tokens>>,
    config: AuthConfig,
    cache: Mutex<Cache>,
    lookups: Semaphore,
    turns: Turns,
    failures: ArcSwapOption<DefaultKeyedRateLimiter<IpAddr>>,
    penalised: Mutex<Lru<IpAddr, ()>>,
}

fn limiter(per_minute: u32) -> Option<Arc<DefaultKeyedRateLimiter<IpAddr>>> {
    NonZeroU32::new(per_minute).map(|n| Arc::new(RateLimiter::dashmap(Quota::per_minute(n))))
}

/// Why a token is not accepted.
#[derive(Debug)]
enum Denied {
    Wrong(&'static str),
    TooOften,
    Failed(ApiError),
}

impl Auth {
    pub fn new(tokens: Option<Tokens>, config: AuthConfig) -> Self {
        Self {
            tokens: tokens.map(Arc::new),
            config,
            cache: Mutex::new(Cache::new(config.max_cache_size, config.cache_ttl.as_micros() as i64)),
            lookups: Semaphore::new(LOOKUPS),
            turns: Turns::default(),
            failures: ArcSwapOption::new(limiter(config.failures_per_minute)),
            penalised: Mutex::new(Lru::new(PENALISED)),
        }
    }

    /// # Errors
    /// Authentication is off: there are no tokens.
    pub fn tokens(&self) -> Result<&Arc<Tokens>, ApiError> {
        let off = || ApiError::new(Code::NotFound, "auth.enabled is false: there are no tokens");
        self.tokens.as_ref().ok_or_else(off)
    }

    /// A token is not what it was; holds for every request that comes after this.
    pub fn forget(&self, id: i64) {
        self.cache.lock().forget(id);
    }

    pub fn clear_cache(&self) -> usize {
        self.cache.lock().clear()
    }

    pub fn cache_stats(&self) -> (usize, usize, Counts) {
        self.cache.lock().stats()
    }

    /// Another bound for failed attempts; what was counted is forgotten.
    pub fn limit_failures(&self, per_minute: u32) {
        self.failures.store(limiter(per_minute));
    }

    pub fn cache_ttl(&self) -> Duration {
        self.config.cache_ttl
    }

    /// Writes when tokens were used, and forgets addresses that failed long ago.
    pub fn save(&self) -> store::Result<()> {
        if let Some(failures) = &*self.failures.load() {
            failures.retain_recent();
        }
        let used = self.cache.lock().take_used();
        match &self.tokens {
            Some(tokens) if !used.is_empty() => tokens.save_used(&used),
            _ => Ok(()),
        }
    }

    async fn verify(&self, text: &str, from: IpAddr, now_us: i64) -> Result<Arc<Token>, Denied> {
        const WRONG: &str = "Invalid or expired token";
        let tokens = self.tokens().map_err(Denied::Failed)?;
        if text.is_empty() || text.len() > LONGEST {
            return Err(self.failed(from, now_us, WRONG));
        }
        let hash = tokens.hash(text);
        match self.cache.lock().get(&hash, now_us) {
            Known::Good(token) => return Ok(token),
            Known::Wrong => return Err(self.failed(from, now_us, WRONG)),
            Known::Not(_) => {}
        }
        if text::is_mistyped(text) {
            const TYPO: &str = "Invalid or expired token: its checksum does not fit, so it was cut or mistyped";
            return Err(self.failed(from, now_us, TYPO));
        }
        if self.penalised.lock().get(&network(from), now_us).is_some() {
            return Err(Denied::TooOften);
        }
        // many requests with one new token ask once
        let _turn = self.turns.take(hash).await;
        loop {
            let generation = match self.cache.lock().get(&hash, now_us) {
                Known::Good(token) => return Ok(token),
                Known::Wrong => return Err(self.failed(from, now_us, WRONG)),
                Known::Not(generation) => generation,
            };
            let _permit = self.lookups.acquire().await;
            let tokens = Arc::clone(tokens);
            let found = blocking(move || tokens.find(&hash, now_us)).await.map_err(Denied::Failed)?;
            let found = found.map(|(token, until_us)| (Arc::new(token), until_us));
            let good = found.as_ref().map(|(token, _)| Arc::clone(token));
            if self.cache.lock().keep(hash, found, generation, now_us) {
                return good.ok_or_else(|| self.failed(from, now_us, WRONG));
            }
        }
    }

    /// Counts a failure of an address; past its share it must wait.
    fn failed(&self, from: IpAddr, now_us: i64, why: &'static str) -> Denied {
        let network = network(from);
        match &*self.failures.load() {
            Some(failures) if failures.check_key(&network).is_err() => {
                let until_us = now_us + PENALTY.as_micros() as i64;
                self.penalised.lock().insert(network, (), 1, until_us);
                Denied::TooOften
            }
            _ => Denied::Wrong(why),
        }
    }
}

/// Whom failures are counted for: an address, of IPv6 the part that one customer gets.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A valid token; what it sees is cut down to its scopes.
    Token,
    /// A permission; the handler checks it again on the tables that the request names.
    Permission(Permission),
    /// Admin without scopes: what concerns the whole server.
    Server,
}

impl Needs {
    pub const fn as_str(self) -> &'static str {
        match self {
            Needs::Nothing => "public",
            Needs::Token => "token",
            Needs::Permission(permission) => permission.as_str(),
            Needs::Server => "server",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token's id; none where authentication is off.
    pub id: Option<i64>,
    pub name: Arc<str>,
    pub access: Arc<Access>,
    pub address: IpAddr,
    /// The table that was checked last, as far as the audit log asks.
    about: Arc<Mutex<Option<(String, String)>>>,
}

impl Caller {
    fn anyone(address: IpAddr) -> Self {
        Self { id: None, name: "admin".into(), access: Arc::new(Access::full()), address, about: Arc::default() }
    }

    fn of(token: &Token, address: IpAddr) -> Self {
        Self {
            id: Some(token.id),
            name: Arc::clone(&token.name),
            access: Arc::clone(&token.access),
            address,
            about: Arc::default(),
        }
    }

    /// # Errors
    /// `forbidden`, whether there is such a table or not.
    pub fn check(&self, permission: Permission, database: &str, table: &str) -> Result<(), ApiError> {
        let may = self.access.may(permission, database, table);
        // reads and writes that may be are not audited
        if !may || matches!(permission, Permission::Delete | Permission::Admin) {
            *self.about.lock() = Some((database.to_owned(), table.to_owned()));
        }
        match may {
            true => Ok(()),
            false => Err(denied(permission, &format!(" on {database}.{table}"))),
        }
    }

    /// As [`Caller::check`], for what concerns a whole database.
    pub fn check_all(&self, permission: Permission, database: &str) -> Result<(), ApiError> {
        self.check(permission, database, "*")
    }

    /// # Errors
    /// `forbidden`, whether there is such a database or not.
    pub fn check_sees(&self, database: &str) -> Result<(), ApiError> {
        match self.access.sees(database) {
            true => Ok(()),
            false => Err(denied(Permission::Read, &format!(" on {database}"))),
        }
    }

    /// Whether a record about this table, or about all of them, is for these eyes.
    pub fn may_see(&self, database: Option<&str>, table: Option<&str>) -> bool {
        match database {
            None => self.access.is_unscoped(),
            Some(database) => {
                let table = table.unwrap_or("*");
                self.access.is_unscoped() || Permission::ALL.iter().any(|p| self.access.may(*p, database, table))
            }
        }
    }

    fn meets(&self, needs: Needs) -> Result<(), ApiError> {
        match needs {
            Needs::Nothing | Needs::Token => Ok(()),
            Needs::Permission(permission) if self.access.has(permission) => Ok(()),
            Needs::Permission(permission) => Err(denied(permission, "")),
            Needs::Server if self.access.has(Permission::Admin) && self.access.is_unscoped() => Ok(()),
            Needs::Server => Err(denied(Permission::Admin, " on the whole server")),
        }
    }
}

fn denied(permission: Permission, place: &str) -> ApiError {
    ApiError::new(Code::Forbidden, format!("Permission denied: {}{place} required", permission.as_str()))
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| ApiError::new(Code::Internal, "the route table names no permission for this route"))
    }
}

/// Where a request came from, as the accept loop saw it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Peer {
    /// The address of a request's sender; `0.0.0.0` where no accept loop saw it.
    pub fn address(request: &Request) -> IpAddr {
        request.extensions().get::<Self>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip())
    }
}

/// The token of a request in any of the forms that clients send.
fn token<'a>(headers: &'a HeaderMap, query: Option<&str>) -> Option<Cow<'a, str>> {
    if let Some(value) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) {
        let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        // InfluxDB 1 clients send the token as the password
        if is("basic") {
            let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            return decoded.split_once(':').map(|(_, password)| Cow::from(password.to_owned()));
        }
        return Some(if is("bearer") || is("token") { rest } else { value }.trim().into());
    }
    if let Some(value) = headers.get("x-api-key").and_then(|v| v.to_str().ok()) {
        return Some(value.trim().into());
    }
    let pair = query?.split('&').find_map(|pair| pair.strip_prefix("p="))?;
    let decoded = percent_encoding::percent_decode_str(&pair.replace('+', " ")).decode_utf8().ok()?.into_owned();
    Some(decoded.into())
}

/// Whether a request brings a token at all.
pub fn has_token(headers: &HeaderMap, query: Option<&str>) -> bool {
    token(headers, query).is_some()
}

/// The token that a request brings, verified.
///
/// # Errors
/// `unauthorized`, or `too_many_failures` for an address that failed too often.
pub async fn identify(
    state: &Shared,
    headers: &HeaderMap,
    query: Option<&str>,
    from: IpAddr,
) -> Result<Arc<Token>, ApiError> {
    count(&state.counters.auth_requests, 1);
    let failed = |code, text: &str| {
        count(&state.counters.auth_failures, 1);
        Err(ApiError::new(code, text))
    };
    let Some(text) = token(headers, query) else { return failed(Code::Unauthorized, "Authentication required") };
    let began = Instant::now();
    let verified = state.auth.verify(&text, from, state.clock.now_us()).await;
    state.store.shared().stages.of(Stage::Verify).since(began);
    match verified {
        Ok(token) => Ok(token),
        Err(Denied::Wrong(why)) => failed(Code::Unauthorized, why),
        Err(Denied::TooOften) => {
            let text = "too many failed attempts from this address; wait before the next";
            failed(Code::TooManyFailures, text).map_err(|e| e.after(PENALTY.as_secs()))
        }
        Err(Denied::Failed(error)) => Err(error),
    }
}

/// What stands before a route, as a layer: lets in who may use it, notes how often and how long, and writes down
/// who did what.
#[derive(Debug, Clone)]
pub struct Gate {
    pub state: Shared,
    pub needs: Needs,
    /// Its place in the table; none: no route at all.
    pub route: Option<usize>,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

/// A route behind its gate.
#[derive(Debug, Clone)]
pub struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S> Service<Request> for Gated<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // the one that is ready answers, its twin stays
        let twin = self.inner.clone();
        let (gate, mut inner) = (self.gate.clone(), mem::replace(&mut self.inner, twin));
        Box::pin(async move {
            let began = Instant::now();
            let mut visit = Visit::of(&request);
            let response = match gate.admit(&mut visit, request).await {
                Ok((request, _held)) => inner.call(request).await?,
                Err(error) => error.into_response(),
            };
            gate.close(visit, &response, began.elapsed());
            Ok(response)
        })
    }
}

/// What is known of a request when it has been answered. All of it is shared with the request, nothing copied.
#[derive(Debug)]
struct Visit {
    address: IpAddr,
    method: Method,
    uri: Uri,
    agent: Option<HeaderValue>,
    caller: Option<Caller>,
    /// Why it was not let in.
    refused: Option<String>,
}

impl Visit {
    fn of(request: &Request) -> Self {
        Self {
            address: Peer::address(request),
            method: request.method().clone(),
            uri: request.uri().clone(),
            agent: request.headers().get(header::USER_AGENT).cloned(),
            caller: None,
            refused: None,
        }
    }
}

impl Gate {
    /// The request, to be answered, and the memory that its body holds meanwhile.
    async fn admit(&self, visit: &mut Visit, mut request: Request) -> Result<(Request, Option<Arc<Whole>>), ApiError> {
        if self.needs == Needs::Nothing {
            let (parts, body) = request.into_parts();
            body::discard(body, body::SHORT_BYTES).await;
            return Ok((Request::from_parts(parts, Body::empty()), None));
        }
        match self.caller(visit, request.headers()).await {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                self.whole(request).await
            }
            Err(error) => {
                body::discard(request.into_body(), body::SHORT_BYTES).await;
                visit.refused = Some(error.message.clone());
                Err(error)
            }
        }
    }

    /// Who asks, where that is enough for the route.
    async fn caller(&self, visit: &mut Visit, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let from = visit.address;
        let caller = match self.state.auth.tokens {
            None => Caller::anyone(from),
            Some(_) => {
                let token = identify(&self.state, headers, visit.uri.query(), from).await?;
                Caller::of(&token, from)
            }
        };
        visit.caller = Some(caller.clone());
        caller.meets(self.needs).map(|()| caller)
    }

    /// The request with its body whole, but for long payloads, which their routes read themselves.
    async fn whole(&self, request: Request) -> Result<(Request, Option<Arc<Whole>>), ApiError> {
        let takes = self.route.map_or(Takes::Nothing, |at| routes::routes()[at].takes);
        let (mut parts, body) = request.into_parts();
        let max = match takes {
            Takes::Payload(_) if !body::is_short(&body) => return Ok((Request::from_parts(parts, body), None)),
            Takes::Payload(_) => body::SHORT_BYTES,
            _ => limits::SMALL_BODY_BYTES,
        };
        let whole = Arc::new(body::whole(&self.state, body, max).await?);
        parts.extensions.insert(Arc::clone(&whole));
        Ok((Request::from_parts(parts, whole.bytes.clone().into()), Some(whole)))
    }

    /// Notes what became of a request, in the audit log where it belongs there.
    fn close(&self, visit: Visit, response: &Response, took: Duration) {
        let state = &self.state;
        if let Some(seen) = self.route.and_then(|at| state.counters.routes.get(at)) {
            seen.note(response.status(), took);
        }
        let changes = visit.method != Method::GET && visit.method != Method::HEAD;
        let kind = match (response.status().as_u16(), self.needs) {
            (_, Needs::Nothing) => return,
            (401, _) => "auth_failed",
            (403, _) => "access_denied",
            // those are as many as an attacker likes; they are counted
            (429, _) => return,
            (_, Needs::Server | Needs::Permission(Permission::Admin)) if changes => "admin",
            (_, Needs::Permission(Permission::Delete)) if changes => "delete",
            _ => return,
        };
        let about = visit.caller.as_ref().and_then(|caller| caller.about.lock().take());
        let (database, measurement) = about.unzip();
        state.audit.record(Event {
            at_us: state.clock.now_us(),
            kind,
            actor: visit.caller.map(|caller| caller.name.to_string()),
            method: visit.method.to_string(),
            path: visit.uri.path().to_owned(),
            database,
            measurement: measurement.filter(|m| m != "*"),
            status: response.status().as_u16(),
            address: visit.address.to_string(),
            agent: visit.agent.and_then(|v| v.to_str().ok().map(str::to_owned)),
            duration_us: took.as_micros() as i64,
            detail: visit.refused,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_token_is_read() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            token(&headers, None).map(Cow::into_owned)
        };
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("authorization", "Token secret"),
            ("authorization", "secret"),
            ("authorization", "Basic dXNlcjpzZWNyZXQ="),
            ("x-api-key", "secret"),
        ] {
            assert_eq!(with(name, value).as_deref(), Some("secret"), "{value}");
        }
        assert_eq!(token(&HeaderMap::new(), Some("u=x&p=sec%2Bret")).as_deref(), Some("sec+ret"));
        assert_eq!(token(&HeaderMap::new(), Some("db=x")), None);
    }

    #[test]
    fn one_customer_is_one_address() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((network("10.0.0.1"), network("::ffff:10.0.0.1")), ("10.0.0.1".into(), "10.0.0.1".into()));
    }
}
