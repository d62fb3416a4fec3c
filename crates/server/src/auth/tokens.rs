//! Tokens in `server.sqlite`: of the secret only its keyed hash is kept.

use std::path::Path;
use std::sync::Arc;

use model::access::Scope;
use model::{Access, Code, Permission, limits};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::text;
use crate::error::ApiError;

/// HMAC-SHA-256 of a token's text.
pub type Hash = [u8; 32];

/// The longest token that is looked at.
pub const LONGEST: usize = 512;
/// Bytes that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// What a token is, but for its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub id: i64,
    pub name: Arc<str>,
    pub description: Option<String>,
    pub access: Arc<Access>,
    pub permissions: Vec<Permission>,
    /// As they were written.
    pub scopes: Vec<String>,
    pub created_us: i64,
    pub last_used_us: Option<i64>,
    pub expires_us: Option<i64>,
    pub enabled: bool,
}

impl Token {
    /// As clients see it.
    pub fn describe(&self) -> Value {
        let time = |us: Option<i64>| us.map(crate::time::rfc3339);
        json!({
            "id": self.id,
            "name": *self.name,
            "description": self.description,
            "permissions": self.permissions.iter().map(|p| p.as_str()).collect::<Vec<_>>(),
            "scopes": self.scopes,
            "created_at": crate::time::rfc3339(self.created_us),
            "last_used_at": time(self.last_used_us),
            "expires_at": time(self.expires_us),
            "enabled": self.enabled,
        })
    }
}

/// What may be said of a token.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub name: String,
    pub description: Option<String>,
    pub permissions: Vec<Permission>,
    pub scopes: Vec<String>,
    pub expires_us: Option<i64>,
    pub enabled: bool,
}

impl From<&Token> for Wanted {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.to_string(),
            description: token.description.clone(),
            permissions: token.permissions.clone(),
            scopes: token.scopes.clone(),
            expires_us: token.expires_us,
            enabled: token.enabled,
        }
    }
}

impl Wanted {
    /// # Errors
    /// What is wrong, by the field's name.
    fn check(&self) -> Result<(), ApiError> {
        let bad = |text: String| Err(ApiError::new(Code::InvalidParameter, text));
        if self.name.trim().is_empty() || self.name.len() > limits::ITEM_NAME_BYTES {
            return bad(format!("name must have 1 to {} bytes", limits::ITEM_NAME_BYTES));
        }
        if self.scopes.len() > limits::TOKEN_SCOPES {
            return bad(format!("a token has at most {} scopes", limits::TOKEN_SCOPES));
        }
        self.scopes.iter().try_for_each(|s| match Scope::parse(s) {
            Ok(_) => Ok(()),
            Err(why) => bad(why),
        })
    }

    fn written(&self) -> (String, String) {
        let permissions: Vec<&str> = self.permissions.iter().map(|p| p.as_str()).collect();
        (permissions.join(","), json!(self.scopes).to_string())
    }
}

/// The tokens of one folder.
#[derive(Debug)]
pub struct Tokens {
    database: Mutex<Connection>,
    inner: Sha256,
    outer: Sha256,
}

const COLUMNS: &str = "id, name, description, permissions, scopes, created_us, last_used_us, expires_us, enabled";

impl Tokens {
    /// Opens `server.sqlite` (0600) with the key that stands beside it.
    ///
    /// # Errors
    /// The file or the key cannot be read or made.
    pub fn open(root: &Path) -> store::Result<Self> {
        let database = store::meta::open(
            &root.join("server.sqlite"),
            "CREATE TABLE IF NOT EXISTS tokens (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
               description TEXT, permissions TEXT NOT NULL, scopes TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,
               old_hash BLOB UNIQUE, old_until_us INTEGER, created_us INTEGER NOT NULL, last_used_us INTEGER,
               expires_us INTEGER, enabled INTEGER NOT NULL);",
        )?;
        let path = root.join("token-key");
        if !path.exists() {
            store::durable::write_file(&path, store::random::secret().as_bytes(), 0o600)?;
        }
        let key = std::fs::read(&path).map_err(store::Error::io("cannot read", &path))?;
        Ok(Self::keyed(database, &key))
    }

    /// The two halves of HMAC (RFC 2104) with the key taken in already.
    fn keyed(database: Connection, key: &[u8]) -> Self {
        let mut block = [0u8; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let half = |pad: u8| Sha256::new_with_prefix(block.map(|b| b ^ pad));
        Self { database: Mutex::new(database), inner: half(0x36), outer: half(0x5c) }
    }

    pub fn hash(&self, text: &str) -> Hash {
        let inner = self.inner.clone().chain_update(text.as_bytes()).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }

    pub fn is_empty(&self) -> Result<bool, ApiError> {
        let query = "SELECT NOT EXISTS (SELECT 1 FROM tokens)";
        self.database.lock().query_row(query, [], |r| r.get(0)).map_err(failed)
    }

    /// The token of this hash that is good at `now_us`, and until when it is.
    pub fn find(&self, hash: &Hash, now_us: i64) -> Result<Option<(Token, i64)>, ApiError> {
        let database = self.database.lock();
        let query = format!(
            "SELECT {COLUMNS}, hash, old_hash, old_until_us FROM tokens WHERE (hash = ?1 OR old_hash = ?1) AND enabled"
        );
        let found = database
            .prepare_cached(&query)
            .and_then(|mut s| {
                let row = |r: &Row<'_>| {
                    let old: Option<Hash> = r.get("old_hash")?;
                    Ok((token(r)?, r.get::<_, Hash>("hash")?, old, r.get::<_, Option<i64>>("old_until_us")?))
                };
                s.query_row([hash.as_slice()], row).optional()
            })
            .map_err(failed)?;
        let Some((token, current, old, old_until)) = found else { return Ok(None) };
        let is = |known: &Hash| bool::from(known.ct_eq(hash));
        let until = token.expires_us.unwrap_or(i64::MAX);
        let until = if is(&current) {
            until
        } else if old.as_ref().is_some_and(is) {
            until.min(old_until.unwrap_or(0))
        } else {
            return Ok(None);
        };
        Ok((until > now_us).then_some((token, until)))
    }

    pub fn list(&self) -> Result<Vec<Token>, ApiError> {
        let database = self.database.lock();
        let mut statement = database.prepare(&format!("SELECT {COLUMNS} FROM tokens ORDER BY id")).map_err(failed)?;
        let rows = statement.query_map([], token).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    pub fn get(&self, id: i64) -> Result<Option<Token>, ApiError> {
        let query = format!("SELECT {COLUMNS} FROM tokens WHERE id = ?");
        self.database.lock().query_row(&query, [id], token).optional().map_err(failed)
    }

    /// Makes a token and returns its id and text; the text is `chosen`, or new.
    ///
    /// # Errors
    /// `name_taken`, a bad field, too many tokens.
    pub fn create(&self, wanted: &Wanted, chosen: Option<&str>, now_us: i64) -> Result<(i64, String), ApiError> {
        wanted.check()?;
        let database = self.database.lock();
        let transaction = database.unchecked_transaction().map_err(failed)?;
        let count: usize = transaction.query_row("SELECT count(*) FROM tokens", [], |r| r.get(0)).map_err(failed)?;
        if count >= limits::TOKENS {
            let message = format!("there are {count} tokens already; delete some first");
            return Err(ApiError::new(Code::InvalidParameter, message));
        }
        let (permissions, scopes) = wanted.written();
        // the id stands in the text, and the text's hash in the row
        let placeholder = store::random::bytes16();
        transaction
            .execute(
                "INSERT INTO tokens (name, description, permissions, scopes, hash, created_us, expires_us, enabled)
                 VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
                params![wanted.name, wanted.description, permissions, scopes, placeholder, now_us, wanted.expires_us],
            )
            .map_err(|e| named(e, &wanted.name))?;
        let id = transaction.last_insert_rowid();
        let text = chosen.map_or_else(|| text::make(id, &store::random::secret()), str::to_owned);
        transaction
            .execute("UPDATE tokens SET hash = ? WHERE id = ?", params![self.hash(&text), id])
            .map_err(|e| named(e, &wanted.name))?;
        transaction.commit().map_err(failed)?;
        Ok((id, text))
    }

    /// Writes all fields; false when there is no such token.
    pub fn update(&self, id: i64, wanted: &Wanted) -> Result<bool, ApiError> {
        wanted.check()?;
        let (permissions, scopes) = wanted.written();
        let changed = self.database.lock().execute(
            "UPDATE tokens SET name = ?, description = ?, permissions = ?, scopes = ?, expires_us = ?, enabled = ?
             WHERE id = ?",
            params![wanted.name, wanted.description, permissions, scopes, wanted.expires_us, wanted.enabled, id],
        );
        changed.map(|n| n > 0).map_err(|e| named(e, &wanted.name))
    }

    /// Gives a token a new secret; the old one is good until `old_until_us`, if at all.
    pub fn rotate(&self, id: i64, old_until_us: Option<i64>) -> Result<Option<String>, ApiError> {
        let text = text::make(id, &store::random::secret());
        let changed = self.database.lock().execute(
            "UPDATE tokens SET old_hash = iif(?1 IS NULL, NULL, hash), old_until_us = ?1, hash = ?2, enabled = 1
             WHERE id = ?3",
            params![old_until_us, self.hash(&text), id],
        );
        Ok((changed.map_err(failed)? > 0).then_some(text))
    }

    pub fn delete(&self, id: i64) -> Result<bool, ApiError> {
        let deleted = self.database.lock().execute("DELETE FROM tokens WHERE id = ?", [id]);
        deleted.map(|n| n > 0).map_err(failed)
    }

    /// Makes or renews the token `name` with every permission; the text is `chosen`, or new.
    ///
    /// # Errors
    /// The text is another token's.
    pub fn recover(&self, name: &str, chosen: Option<&str>, now_us: i64) -> Result<String, ApiError> {
        let known = self.list()?.into_iter().find(|t| *t.name == *name);
        let wanted =
            Wanted { name: name.to_owned(), permissions: Permission::ALL.to_vec(), enabled: true, ..Wanted::default() };
        let Some(known) = known else { return self.create(&wanted, chosen, now_us).map(|(_, text)| text) };
        self.update(known.id, &wanted)?;
        let text = chosen.map_or_else(|| text::make(known.id, &store::random::secret()), str::to_owned);
        let query = "UPDATE tokens SET hash = ?, old_hash = NULL, old_until_us = NULL WHERE id = ?";
        self.database.lock().execute(query, params![self.hash(&text), known.id]).map_err(|e| named(e, name))?;
        Ok(text)
    }

    /// Writes when tokens were used last (id, UTC microseconds).
    pub fn save_used(&self, used: &[(i64, i64)]) -> store::Result<()> {
        let database = self.database.lock();
        let transaction = database.unchecked_transaction()?;
        for (id, at_us) in used {
            transaction
                .prepare_cached("UPDATE tokens SET last_used_us = ? WHERE id = ?")?
                .execute(params![at_us, id])?;
        }
        Ok(transaction.commit()?)
    }
}

fn failed(error: rusqlite::Error) -> ApiError {
    store::Error::from(error).into()
}

fn named(error: rusqlite::Error, name: &str) -> ApiError {
    store::meta::taken(error, name).into()
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let permissions: Vec<Permission> =
        row.get::<_, String>("permissions")?.split(',').filter_map(Permission::parse).collect();
    let scopes: Vec<String> = serde_json::from_str(&row.get::<_, String>("scopes")?).unwrap_or_default();
    let parsed: Vec<Scope> = scopes.iter().filter_map(|s| Scope::parse(s).ok()).collect();
    // a scope that this version cannot read must not widen what the token reaches
    let granted = if parsed.len() == scopes.len() { permissions.clone() } else { Vec::new() };
    Ok(Token {
        id: row.get("id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        access: Arc::new(Access::new(granted, parsed)),
        permissions,
        scopes,
        created_us: row.get("created_us")?,
        last_used_us: row.get("last_used_us")?,
        expires_us: row.get("expires_us")?,
        enabled: row.get("enabled")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac_sha256() {
        // RFC 4231, cases 2 and 6
        let hash = |key: &[u8], text: &str| {
            let tokens = Tokens::keyed(Connection::open_in_memory().unwrap(), key);
            tokens.hash(text).iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        assert_eq!(
            hash(b"Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hash(&[0xaa; 131], "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
