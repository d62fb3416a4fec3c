use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use comfy_table::Table;
use model::{Clock, Permission, SystemClock};
use serde_json::{Value, json};
use server::auth::text;
use server::auth::tokens::{Tokens, Wanted};

use crate::client::{Server, read_token, token_file};

/// Fewest characters of a token that an operator chooses.
const SHORTEST: usize = 32;
/// The token that a recovery makes.
const RECOVERY: &str = "recovery";

#[derive(Debug, Subcommand)]
pub enum What {
    /// Make a token and print it, once
    Create {
        name: String,
        /// Of read, write, delete, admin
        #[arg(long, value_delimiter = ',', default_value = "read,write")]
        permissions: Vec<String>,
        /// Such as prod, prod.cpu_*, *.cpu; without one the token reaches everything
        #[arg(long = "scope")]
        scopes: Vec<String>,
        /// Such as 24h or 30d
        #[arg(long)]
        expires_in: Option<String>,
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Show all tokens
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Stop a token at once
    Revoke {
        /// Name or id
        #[arg(value_name = "TOKEN")]
        which: String,
        #[command(flatten)]
        server: Server,
    },
    /// Give a token a new secret and print it, once
    Rotate {
        /// Name or id
        #[arg(value_name = "TOKEN")]
        which: String,
        /// How long the old secret stays good, such as 1h
        #[arg(long)]
        overlap: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Make a new admin token in a folder on this machine, when the others are lost
    Recover {
        /// Folder of the server, running or stopped
        #[arg(long, default_value = "./data/tidewater")]
        folder: PathBuf,
    },
}

/// `tidewater token`
pub fn run(what: &What) -> Result<()> {
    match what {
        What::Create { name, permissions, scopes, expires_in, description, server } => {
            let mut body = json!({"name": name, "permissions": permissions, "scopes": scopes});
            if let Some(span) = expires_in {
                body["expires_in"] = span.as_str().into();
            }
            if let Some(text) = description {
                body["description"] = text.as_str().into();
            }
            let made = server.ask("POST", "/api/v1/auth/tokens", &[], Some(&body))?;
            println!("{}", made["token"].as_str().unwrap_or_default());
        }
        What::List { server } => println!("{}", table(&server.ask("GET", "/api/v1/auth/tokens", &[], None)?)),
        What::Revoke { which, server } => {
            let id = id(server, which)?;
            server.ask("POST", &format!("/api/v1/auth/tokens/{id}/revoke"), &[], Some(&json!({})))?;
            println!("token {which} has stopped");
        }
        What::Rotate { which, overlap, server } => {
            let id = id(server, which)?;
            let body = json!({"overlap": overlap});
            let made = server.ask("POST", &format!("/api/v1/auth/tokens/{id}/rotate"), &[], Some(&body))?;
            println!("{}", made["new_token"].as_str().unwrap_or_default());
        }
        What::Recover { folder } => {
            ensure!(folder.join("server.sqlite").exists(), "{} is no server's folder", folder.display());
            let tokens = Tokens::open(folder)?;
            let text = tokens.recover(RECOVERY, None, SystemClock.now_us()).map_err(|e| anyhow::anyhow!(e.message))?;
            eprintln!("the token {RECOVERY:?} has every permission; the others are as they were");
            println!("{text}");
        }
    }
    Ok(())
}

/// The id of a token by its name, or by the id itself.
fn id(server: &Server, wanted: &str) -> Result<i64> {
    let all = server.ask("GET", "/api/v1/auth/tokens", &[], None)?;
    let empty = Vec::new();
    let list = all["tokens"].as_array().unwrap_or(&empty);
    let named = list.iter().find(|t| t["name"] == *wanted);
    let number: Option<i64> = wanted.parse().ok();
    let numbered = || list.iter().find(|t| number.is_some() && t["id"].as_i64() == number);
    let Some(found) = named.or_else(numbered) else { bail!("there is no token {wanted:?}") };
    found["id"].as_i64().context("the server gave no id")
}

fn table(body: &Value) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["id", "name", "permissions", "scopes", "enabled", "expires", "last used"]);
    let list = |v: &Value| {
        let texts = v.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.collect::<Vec<_>>().join(", ")
    };
    for token in body["tokens"].as_array().into_iter().flatten() {
        let text = |field: &str, absent: &str| token[field].as_str().unwrap_or(absent).to_owned();
        let scopes = list(&token["scopes"]);
        table.add_row([
            token["id"].to_string(),
            text("name", ""),
            list(&token["permissions"]),
            if scopes.is_empty() { "everything".into() } else { scopes },
            token["enabled"].to_string(),
            text("expires_at", "never"),
            text("last_used_at", "never"),
        ]);
    }
    table
}

/// A token for whoever starts the server: none of a folder that has tokens, unless a recovery is asked for, but
/// for the one on file. Of a new folder the one that the operator chose, or a new one, shown once.
pub fn bootstrap(tokens: &Tokens, root: &Path, now_us: i64) -> Result<Option<String>> {
    let refused = |e: server::error::ApiError| anyhow::anyhow!(e.message);
    let chosen = std::env::var("TIDEWATER_AUTH_BOOTSTRAP_TOKEN").ok();
    if let Some(chosen) = &chosen {
        ensure!(
            chosen.len() >= SHORTEST && !text::is_mistyped(chosen),
            "TIDEWATER_AUTH_BOOTSTRAP_TOKEN has fewer than {SHORTEST} characters, or is a mistyped token"
        );
    }
    let shown = |what: &str, text: &str| eprintln!("\n  {what}:\n  {text}\n");
    if tokens.is_empty().map_err(refused)? {
        // a folder of an earlier version had one token, on file
        let known = chosen.or_else(|| read_token(root));
        let admin =
            Wanted { name: "admin".into(), permissions: Permission::ALL.to_vec(), enabled: true, ..Wanted::default() };
        let (_, text) = tokens.create(&admin, known.as_deref(), now_us).map_err(refused)?;
        let path = token_file(root);
        store::durable::write_file(&path, text.as_bytes(), 0o600)?;
        if known.is_none() {
            shown(&format!("admin token (shown once, kept in {})", path.display()), &text);
        }
        return Ok(Some(text));
    }
    if std::env::var("TIDEWATER_AUTH_FORCE_BOOTSTRAP").is_ok_and(|v| v == "true" || v == "1") {
        let text = tokens.recover(RECOVERY, chosen.as_deref(), now_us).map_err(refused)?;
        if chosen.is_none() {
            shown("recovery token (shown once; unset TIDEWATER_AUTH_FORCE_BOOTSTRAP)", &text);
        }
        return Ok(Some(text));
    }
    Ok(read_token(root))
}
