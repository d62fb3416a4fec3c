//! The server's own messages: to standard error, and the last ones to memory for `/api/v1/logs`.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use model::{Clock as _, SystemClock};
use server::logs::{Message, Recent};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::settings::Settings;

/// What is left of the logging once it runs.
#[derive(Debug, Clone)]
pub struct Logging {
    pub recent: Arc<Recent>,
    level: reload::Handle<EnvFilter, Registry>,
}

fn filter(settings: &Settings) -> EnvFilter {
    EnvFilter::new(format!("{},datafusion=warn,hyper=warn", settings.text("log.level")))
}

/// Starts it; a process does this once.
pub fn start(settings: &Settings) -> Logging {
    let (filter, level) = reload::Layer::new(filter(settings));
    let recent = Arc::<Recent>::default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<_> + Send + Sync> = match settings.text("log.format") {
        "json" => Box::new(lines.json()),
        _ => Box::new(lines.with_ansi(false)),
    };
    let registry = tracing_subscriber::registry().with(filter).with(lines).with(Remember(Arc::clone(&recent)));
    // the demo may have started it before
    let _ = registry.try_init();
    Logging { recent, level }
}

impl Logging {
    /// Lets another level hold.
    pub fn set_level(&self, settings: &Settings) {
        if let Err(error) = self.level.reload(filter(settings)) {
            tracing::warn!(%error, "the level of the log could not be changed");
        }
    }
}

struct Remember(Arc<Recent>);

/// The message first, then the fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl<S: Subscriber> Layer<S> for Remember {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        self.0.push(Message {
            at_us: SystemClock.now_us(),
            level,
            component: event.metadata().target(),
            text: (text.message + &text.fields).trim().to_owned(),
        });
    }
}
