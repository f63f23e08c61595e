//! What Redis says of mistakes: the texts, and which of them an error of the engine is for a command.
//!
//! Knows errors by their kind, never by their text.

use super::Command;
use crate::error::{Error, ErrorKind};

pub(super) const SYNTAX: &str = "syntax error";
pub(super) const NOT_AN_INTEGER: &str = "value is not an integer or out of range";
pub(super) const INVALID_ID: &str = "Invalid stream ID specified as stream command argument";
pub(super) const MUST_BE_GREATER: &str = "The ID specified in XADD must be greater than 0-0";
const TOO_SMALL: &str = "The ID specified in XADD is equal or smaller than the target stream top item";
const EXHAUSTED: &str = "The stream has exhausted the last possible ID, unable to add more items";
pub(super) const COUNT_MUST_BE_GREATER: &str = "COUNT must be > 0";
const TOO_LARGE: &str = "Elements are too large to be stored";
const NO_SUCH_KEY: &str = "no such key";
const NO_KEY_FOR_GROUP: &str = "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
                                MKSTREAM option to create an empty stream automatically.";

/// Commands that say the same where a stream or a group is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `XREADGROUP`.
    ReadGroup,
    /// What is about pending entries.
    Pending,
    /// `XGROUP`.
    Group,
    /// `XDEL` and `XACK`, which then have nothing to do.
    Entries,
    /// `XDELEX` and `XACKDEL`, which then have nothing to do with any of so many IDs.
    EachEntry(usize),
    /// All others.
    Info,
}

/// What Redis answers where [`Command::parse`] gave this error.
///
/// ```
/// use streamlog::command::{Command, parse_error_text};
///
/// let error = Command::parse(&["XGROUP", "BOGUS"]).unwrap_err();
/// assert_eq!(parse_error_text(&error), "ERR unknown subcommand 'BOGUS'. Try XGROUP HELP.");
/// ```
pub fn parse_error_text(error: &Error) -> String {
    with_prefix("ERR", &error.to_string())
}

/// An error is one line, whatever is repeated in it.
fn with_prefix(prefix: &str, text: &str) -> String {
    format!("{prefix} {}", text.trim_matches(['\r', '\n']).replace(['\r', '\n'], " "))
}

/// An argument in an error: its first bytes, as far as they are text, and none from a zero byte on, where C's texts end.
pub(super) fn shown(arg: &[u8], bytes_max: usize) -> String {
    let arg = arg.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&arg[..arg.len().min(bytes_max)]).into_owned()
}

fn until_zero(name: &str) -> &str {
    name.split('\0').next().unwrap_or_default()
}

impl Command {
    /// What Redis answers where running this command gave this error: the prefix (`ERR`, `NOGROUP`, `BUSYGROUP`) and the text.
    ///
    /// ```
    /// use streamlog::Broker;
    /// use streamlog::command::Command;
    ///
    /// let broker = Broker::in_memory()?;
    /// let pending = Command::parse(&["XPENDING", "orders", "billing"])?;
    /// let error = broker.execute(&pending).unwrap_err();
    /// assert_eq!(pending.error_text(&error), "NOGROUP No such key 'orders' or consumer group 'billing'");
    /// # Ok::<(), streamlog::Error>(())
    /// ```
    pub fn error_text(&self, error: &Error) -> String {
        let text = match (error.kind(), self) {
            (ErrorKind::GroupExists, _) => return "BUSYGROUP Consumer Group name already exists".to_owned(),
            (ErrorKind::NoSuchGroup | ErrorKind::NoSuchStream, _) => return self.missing_text(error),
            (ErrorKind::IdTooSmall, Command::XAdd(_)) => TOO_SMALL,
            (ErrorKind::InvalidId, Command::XAdd(_)) => MUST_BE_GREATER,
            (ErrorKind::IdsExhausted, _) => EXHAUSTED,
            (ErrorKind::TooLarge, _) => TOO_LARGE,
            (ErrorKind::InvalidArgument, Command::XAutoClaim(claim)) if claim.count == 0 => COUNT_MUST_BE_GREATER,
            _ => return parse_error_text(error),
        };
        with_prefix("ERR", text)
    }

    fn family(&self) -> Family {
        match self {
            Command::XReadGroup(_) => Family::ReadGroup,
            Command::XPending { .. }
            | Command::XPendingRange(_)
            | Command::XClaim(_)
            | Command::XAutoClaim(_)
            | Command::XNack(_) => Family::Pending,
            Command::XGroupCreate(_)
            | Command::XGroupSetId(_)
            | Command::XGroupDestroy { .. }
            | Command::XGroupCreateConsumer { .. }
            | Command::XGroupDelConsumer { .. } => Family::Group,
            Command::XDel { .. } | Command::XAck { .. } => Family::Entries,
            Command::XDelEx { ids, .. } | Command::XAckDel { ids, .. } => Family::EachEntry(ids.len()),
            Command::Mistaken(mistaken) => mistaken.family,
            _ => Family::Info,
        }
    }

    /// The stream and the group that the error is about: the error knows, where the command has several.
    fn missing_text(&self, error: &Error) -> String {
        let (key, group) = (error.stream().unwrap_or_default(), error.group().unwrap_or_default());
        let (key, group) = (until_zero(key), until_zero(group));
        let text = match (self.family(), error.kind()) {
            (Family::ReadGroup, _) => {
                format!("No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option")
            }
            (Family::Pending, _) => format!("No such key '{key}' or consumer group '{group}'"),
            (Family::Group, ErrorKind::NoSuchStream) => return with_prefix("ERR", NO_KEY_FOR_GROUP),
            (_, ErrorKind::NoSuchStream) => return with_prefix("ERR", NO_SUCH_KEY),
            (Family::Group | Family::Info | Family::Entries | Family::EachEntry(_), _) => {
                format!("No such consumer group '{group}' for key name '{key}'")
            }
        };
        with_prefix("NOGROUP", &text)
    }
}
