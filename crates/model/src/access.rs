//! What a token may do, and to which tables.

use crate::name::fold;
use crate::pattern::matches;

/// What a request needs. `Admin` includes the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    Read,
    Write,
    Delete,
    Admin,
}

impl Permission {
    pub const ALL: [Permission; 4] = [Permission::Read, Permission::Write, Permission::Delete, Permission::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Write => "write",
            Permission::Delete => "delete",
            Permission::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == text)
    }
}

/// Tables by pattern: `prod` and `prod.*` are every table of the database `prod`, `prod.cpu_*` those whose
/// name begins so; `*` is any text in either part. A database with a dot in its name is quoted: `"prod.eu".cpu`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    database: String,
    table: String,
}

impl Scope {
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!("scope {text:?} {why}; write database, database.table or \"a.b\".table with * as any text")
        };
        let (database, table) = match text.strip_prefix('"') {
            Some(rest) => {
                let (database, rest) = rest.split_once('"').ok_or_else(|| bad("has an open quote"))?;
                match rest {
                    "" => (database, "*"),
                    rest => (database, rest.strip_prefix('.').ok_or_else(|| bad("has text after the quote"))?),
                }
            }
            None => text.split_once('.').unwrap_or((text, "*")),
        };
        if database.trim().is_empty() || table.trim().is_empty() {
            return Err(bad("lacks a name"));
        }
        Ok(Self { database: fold(database).to_string(), table: fold(table).to_string() })
    }
}

/// What one caller may do: permissions, on the tables within its scopes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    permissions: Vec<Permission>,
    /// Empty: every table, and the server as a whole.
    scopes: Vec<Scope>,
}

impl Access {
    pub fn new(permissions: Vec<Permission>, scopes: Vec<Scope>) -> Self {
        Self { permissions, scopes }
    }

    /// Everything: the server itself, and a server without authentication.
    pub fn full() -> Self {
        Self { permissions: vec![Permission::Admin], scopes: Vec::new() }
    }

    /// Whether the permission is held at all, be it for few tables.
    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission) || self.permissions.contains(&Permission::Admin)
    }

    /// Whether no table is out of reach.
    pub fn is_unscoped(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Whether it may do that to a table, or to all that a pattern with `*` can mean.
    pub fn may(&self, permission: Permission, database: &str, table: &str) -> bool {
        if !self.has(permission) {
            return false;
        }
        let (database, table) = (fold(database), fold(table));
        self.is_unscoped() || self.scopes.iter().any(|s| matches(&s.database, &database) && matches(&s.table, &table))
    }

    /// Whether it may do that to every table of a database, be it there or not yet.
    pub fn may_all(&self, permission: Permission, database: &str) -> bool {
        // a star stands for any name: only a pattern that is a star alone matches it
        self.may(permission, database, "*")
    }

    /// Whether anything in the database is within reach.
    pub fn sees(&self, database: &str) -> bool {
        let database = fold(database);
        self.is_unscoped() || self.scopes.iter().any(|s| matches(&s.database, &database))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(scopes: &[&str]) -> Access {
        Access::new(vec![Permission::Read], scopes.iter().map(|s| Scope::parse(s).unwrap()).collect())
    }

    #[test]
    fn a_scope_reaches_what_its_pattern_says_in_any_case() {
        type Tables = &'static [(&'static str, &'static str)];
        let cases: [(&str, Tables, Tables); 6] = [
            ("prod", &[("prod", "cpu"), ("PROD", "Mem.x")], &[("prod2", "cpu"), ("prod.eu", "cpu")]),
            ("prod.*", &[("prod", "cpu")], &[("dev", "cpu")]),
            ("Prod.cpu_*", &[("prod", "CPU_total")], &[("prod", "mem"), ("prod", "cpu")]),
            ("\"prod.eu\".cpu", &[("prod.eu", "cpu")], &[("prod", "eu.cpu"), ("prod.eu", "mem")]),
            ("*.cpu", &[("a", "cpu"), ("b", "cpu")], &[("a", "mem")]),
            ("prod.eu.cpu", &[("prod", "eu.cpu")], &[("prod.eu", "cpu")]),
        ];
        for (scope, within, outside) in cases {
            let access = access(&[scope]);
            within.iter().for_each(|(d, t)| assert!(access.may(Permission::Read, d, t), "{scope} {d} {t}"));
            outside.iter().for_each(|(d, t)| assert!(!access.may(Permission::Read, d, t), "{scope} {d} {t}"));
            assert!(!access.may(Permission::Write, within[0].0, within[0].1));
        }
        for bad in ["", ".cpu", "prod.", "\"prod", "\"prod\"cpu", "\"\".x"] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_whole_database_takes_a_pattern_of_all_its_tables() {
        assert!(access(&["prod"]).may_all(Permission::Read, "prod"));
        assert!(!access(&["prod.cpu_*"]).may_all(Permission::Read, "prod"));
        assert!(access(&["prod.cpu_*"]).sees("prod") && !access(&["prod.cpu_*"]).sees("dev"));
        assert!(access(&["prod.cpu_*"]).may(Permission::Read, "prod", "cpu_user*"));
        assert!(!access(&["prod.cpu_user*"]).may(Permission::Read, "prod", "cpu_*"));
        assert!(access(&[]).may_all(Permission::Read, "any") && Access::full().may(Permission::Delete, "a", "b"));
    }
}
