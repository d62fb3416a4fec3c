//! The routes as an OpenAPI 3.1 document (<https://spec.openapis.org/oas/v3.1.0>).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Array, Components, Content, HttpMethod, InfoBuilder, License, ObjectBuilder, OpenApi, OpenApiBuilder, Paths, Ref,
    RefOr, Required, ResponseBuilder, Schema, SecurityRequirement,
};

use crate::auth::Needs;
use crate::routes::{Route, Takes, routes};

/// `GET /openapi.json`
pub async fn document() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The document, as `/openapi.json` and `docs/openapi.json` have it.
pub fn text() -> String {
    serde_json::to_string_pretty(&build()).expect("the document is JSON") + "\n"
}

fn build() -> OpenApi {
    let mut paths = Paths::new();
    for route in routes() {
        paths.add_path_operation(route.path, vec![method(&route.method)], operation(route));
    }
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key")));
    let text = || object(Type::String).build();
    let error = object(Type::Object)
        .property("success", object(Type::Boolean))
        .property("error", text())
        .property("code", text())
        .required("error")
        .required("code");
    let mut components =
        Components::builder().security_scheme("bearer", bearer).security_scheme("key", key).schema("Error", error);
    let used: BTreeSet<u16> = routes().iter().flat_map(refusals).collect();
    for status in used {
        let schema: RefOr<Schema> = Ref::from_schema_name("Error").into();
        let answer = ResponseBuilder::new().description(reason(status));
        components =
            components.response(refusal(status), answer.content("application/json", Content::new(Some(schema))));
    }
    let info = InfoBuilder::new()
        .title("Tidewater")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("A time-series database in one binary: Arc's API and InfluxDB's write APIs."))
        .license(Some(License::new("Apache-2.0 OR MIT")));
    OpenApiBuilder::new().info(info.build()).paths(paths).components(Some(components.build())).build()
}

fn method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn object(ty: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(ty)
}

/// `string`, `integer`, `boolean`, `[string]`, each with a `?` where null will do.
fn schema(text: &str) -> Schema {
    let (text, is_nullable) = text.strip_suffix('?').map_or((text, false), |t| (t, true));
    let ty = |ty: Type| match is_nullable {
        true => SchemaType::from_iter([ty, Type::Null]),
        false => SchemaType::new(ty),
    };
    match text {
        // whatever JSON is
        "any" => ObjectBuilder::new().schema_type(SchemaType::AnyValue).build().into(),
        "integer" => ObjectBuilder::new().schema_type(ty(Type::Integer)).minimum(Some(0)).build().into(),
        "boolean" => ObjectBuilder::new().schema_type(ty(Type::Boolean)).build().into(),
        "[string]" => {
            let mut list = Array::new(object(Type::String));
            list.schema_type = ty(Type::Array);
            list.into()
        }
        _ => ObjectBuilder::new().schema_type(ty(Type::String)).build().into(),
    }
}

/// Name, whether it must be there, and type of each of `a!: string, b: integer?`.
fn fields(text: &str) -> impl Iterator<Item = (&str, bool, &str)> {
    text.split(", ").filter(|t| !t.is_empty()).map(|field| {
        let (name, ty) = field.split_once(": ").expect("a field is name: type");
        (name.trim_end_matches('!'), name.ends_with('!'), ty)
    })
}

fn operation(route: &Route) -> Operation {
    // tools name functions by it
    let id: String = format!("{}{}", route.method.as_str().to_ascii_lowercase(), route.path).replace(['/', '.'], "_");
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id.replace(['{', '}'], "")))
        .summary(Some(route.doc))
        .description(Some(match route.needs {
            Needs::Nothing => "Asks for no token.".to_owned(),
            needs => format!("Asks for: {}.", needs.as_str()),
        }));
    for name in route.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
        // queries and backups have ids of their own making
        let named = ["/api/v1/queries/", "/api/v1/backup/"].iter().any(|p| route.path.starts_with(p));
        let ty = if name == "id" && !named { "integer" } else { "string" };
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        operation = operation.parameter(parameter.schema(Some(schema(ty))));
    }
    for (name, _, ty) in fields(route.params) {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        operation = operation.parameter(parameter.required(Required::False).schema(Some(schema(ty))));
    }
    if let Some(body) = body(route.takes) {
        operation = operation.request_body(Some(body.build()));
    }
    if route.needs == Needs::Nothing {
        operation = operation.security(SecurityRequirement::default());
    } else {
        let none: [&str; 0] = [];
        operation = operation.security(SecurityRequirement::new("bearer", none));
        operation = operation.security(SecurityRequirement::new("key", none));
    }
    let gives: &[(u16, &str)] = match route.gives.as_slice() {
        [] => &[(200, "application/json")],
        // what may take long answers 200 or 202, what writes 201 or 204 alone
        [(202, _)] if !route.path.starts_with("/api/v1/backup") => {
            &[(200, "application/json"), (202, "application/json")]
        }
        listed => listed,
    };
    for (status, kinds) in gives {
        let mut answer = ResponseBuilder::new().description(reason(*status));
        for kind in kinds.split_whitespace() {
            let (kind, schema) = answered(kind);
            answer = answer.content(kind, Content::new(Some(schema)));
        }
        operation = operation.response(status.to_string(), answer);
    }
    for status in refusals(route) {
        operation = operation.response(status.to_string(), Ref::from_response_name(refusal(status)));
    }
    operation.build()
}

/// The type of an answer and its schema: `application/json[]` is a list of objects.
fn answered(kind: &str) -> (&str, Schema) {
    match kind.strip_suffix("[]") {
        Some(kind) => (kind, Array::new(object(Type::Object)).into()),
        None if kind == "application/json" => (kind, object(Type::Object).build().into()),
        None => (kind, object(Type::String).build().into()),
    }
}

fn body(takes: Takes) -> Option<RequestBodyBuilder> {
    let (kind, schema, required) = match takes {
        Takes::Nothing => return None,
        Takes::Payload(kind) => (kind, object(Type::String).build(), true),
        Takes::Json(listed) => {
            let mut all = object(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(true)));
            let mut needed = false;
            for (name, must, ty) in fields(listed) {
                all = all.property(name, schema(ty));
                if must {
                    (all, needed) = (all.required(name), true);
                }
            }
            ("application/json", all.build(), needed)
        }
    };
    let required = if required { Required::True } else { Required::False };
    Some(RequestBodyBuilder::new().content(kind, Content::new(Some(Schema::from(schema)))).required(Some(required)))
}

/// The name of a refusal among the components.
fn refusal(status: u16) -> String {
    format!("Refusal{status}")
}

/// Statuses with which a route may refuse.
fn refusals(route: &Route) -> Vec<u16> {
    let mut statuses = vec![429, 431, 500, 503];
    if route.needs != Needs::Nothing {
        statuses.extend([401, 403, 404]);
    }
    if route.path.ends_with("/verify") {
        statuses.push(401);
    }
    if route.path == "/ready" {
        // its own body, with the same keys
        return vec![429, 431, 503];
    }
    let reads = route.takes != Takes::Nothing || !route.params.is_empty() || route.path.contains('{');
    if reads || route.method != Method::GET {
        statuses.push(400);
    }
    if route.takes != Takes::Nothing {
        statuses.extend([408, 413]);
    }
    if route.method != Method::GET {
        statuses.extend([409, 507]);
    }
    if matches!(route.takes, Takes::Payload(_)) {
        statuses.push(422);
    }
    if route.path.contains("query") || route.path == "/api/v1/delete" {
        statuses.push(504);
    }
    statuses.sort_unstable();
    statuses
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "It is done, and this came of it",
        201 => "It is made",
        202 => "It is under way: ask /api/v1/jobs/{id}",
        204 => "It is done",
        400 => "The request is wrong: the text says what",
        401 => "No valid token",
        403 => "The token may not do this",
        404 => "There is no such thing, or not for this token",
        408 => "The body came too slowly",
        409 => "Something is in the way: a name that is taken, a job that runs",
        413 => "The body is too long",
        422 => "The Idempotency-Key came before with another body",
        429 => "Too many requests or failed attempts: wait as Retry-After says",
        431 => "The head is too long",
        501 => "Not here: the text says what to use",
        503 => "Not now: wait as Retry-After says",
        504 => "It took too long",
        507 => "The disk is full",
        _ => "A fault of the server",
    }
}
