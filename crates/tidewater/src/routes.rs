/// `docs/api.md`, from the route table.
pub fn markdown() -> String {
    let mut out = String::from(
        "# HTTP API\n\nMade by `tidewater routes`; edit `crates/server/src/routes.rs` instead.\n\n\
         What a route asks of its caller: *public* nothing; *token* a valid token, whose scopes cut down what it sees;\n\
         *read*, *write*, *delete*, *admin* that permission on every table that the request names; *server* admin\n\
         without scopes. Every other path asks for a token and then answers 404. Parameters, bodies and answers stand in\n\
         `docs/openapi.json`, which a server answers at `/openapi.json`.\n\n\
         | method | path | asks for | |\n|---|---|---|---|\n",
    );
    for route in server::routes::routes() {
        out += &format!("| {} | `{}` | {} | {} |\n", route.method, route.path, route.needs.as_str(), route.doc);
    }
    out
}
