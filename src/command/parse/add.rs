//! `XADD` and `XTRIM`, which share their options.

use super::take::{Options, id, id_spec, int, invalid, is, name};
use super::wrong_arity;
use crate::command::text::{MUST_BE_GREATER, SYNTAX};
use crate::command::{Command, XAdd};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Id, IdSpec};
use crate::idempotency::Idempotent;
use crate::trim::{References, Trim};

/// What the options before the ID say.
#[derive(Default)]
struct Said {
    no_make_stream: bool,
    idempotent: Option<Idempotent>,
    trim: Option<Trim>,
    approximately: bool,
    limit: Option<u64>,
    references: Option<References>,
}

const NOT_BOTH: &str = "syntax error, MAXLEN and MINID options at the same time are not compatible";

impl Said {
    /// Reads an option, if it is one of those that the two commands share.
    fn take(&mut self, option: &[u8], options: &mut Options<'_>) -> Result<bool> {
        if (is(option, "MAXLEN") || is(option, "MINID")) && !options.rest.is_empty() {
            if self.trim.is_some() {
                return Err(invalid(NOT_BOTH));
            }
            let mut limit = options.next().unwrap_or_default();
            if let (b"~" | b"=", Some(after)) = (limit, options.rest.first()) {
                self.approximately = limit == b"~";
                limit = after;
                options.next();
            }
            self.trim = Some(if is(option, "MAXLEN") {
                let text = "The MAXLEN argument must be >= 0.";
                Trim::max_len(u64::try_from(int(limit)?).map_err(|_| invalid(text))?)
            } else {
                Trim::min_id(id(limit)?)
            });
        } else if let Some(limit) = options.value(option, "LIMIT") {
            let text = "The LIMIT argument must be >= 0.";
            self.limit = Some(u64::try_from(int(limit)?).map_err(|_| invalid(text))?);
        } else if let Some(references) = references(option).filter(|_| self.references.is_none()) {
            self.references = Some(references);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// The trim that all of it amounts to.
    fn trim(&self) -> Result<Option<Trim>> {
        if self.limit.is_some_and(|limit| limit > 0) && self.trim.is_none() {
            return Err(invalid("syntax error, LIMIT cannot be used without specifying a trimming strategy"));
        }
        if self.limit.is_some() && !self.approximately {
            return Err(invalid("syntax error, LIMIT cannot be used without the special ~ option"));
        }
        Ok(self.trim.map(|trim| {
            let trim = trim.references(self.references.unwrap_or_default());
            match (self.approximately, self.limit) {
                (false, _) => trim,
                (true, None) => trim.approximately(),
                (true, Some(entries)) => trim.approximately_at_most(entries),
            }
        }))
    }
}

pub(super) fn references(word: &[u8]) -> Option<References> {
    let words = [("KEEPREF", References::Keep), ("DELREF", References::Delete), ("ACKED", References::Acknowledged)];
    words.into_iter().find(|(name, _)| is(word, name)).map(|(_, references)| references)
}

pub(super) fn xadd(args: &[&[u8]]) -> Result<Command> {
    let mut said = Said::default();
    let mut options = Options::new(&args[2..]);
    let id = loop {
        let Some(option) = options.next() else {
            // What the options say together is looked at before it is seen that there is nothing to add.
            said.trim()?;
            return Err(wrong_arity("xadd"));
        };
        if option == b"*" {
            break IdSpec::Auto;
        } else if is(option, "NOMKSTREAM") {
            said.no_make_stream = true;
        } else if !said.take_idempotent(option, &mut options)? && !said.take(option, &mut options)? {
            let id = id_spec(option)?;
            if said.idempotent.is_some() {
                return Err(invalid("syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs"));
            }
            break id;
        }
    };
    let trim = said.trim()?;
    let (pairs, odd) = options.rest.as_chunks::<2>();
    if pairs.is_empty() || !odd.is_empty() {
        return Err(wrong_arity("xadd"));
    }
    if id == IdSpec::Exact(Id::MIN) {
        return Err(Error::new(ErrorKind::InvalidId, MUST_BE_GREATER));
    }
    let fields = pairs.iter().map(|[name, value]| (name.to_vec(), value.to_vec())).collect();
    let Said { no_make_stream, idempotent, .. } = said;
    Ok(Command::XAdd(XAdd { key: name(args[1])?, no_make_stream, idempotent, trim, id, fields }))
}

impl Said {
    fn take_idempotent(&mut self, option: &[u8], options: &mut Options<'_>) -> Result<bool> {
        let idempotent = match *options.rest {
            [producer, id, ..] if is(option, "IDMP") => {
                options.next();
                Idempotent::new(producer, id)
            }
            [producer, ..] if is(option, "IDMPAUTO") => Idempotent::by_content(producer),
            _ => return Ok(false),
        };
        options.next();
        if self.idempotent.is_some() {
            return Err(invalid("syntax error, IDMP/IDMPAUTO specified multiple times"));
        }
        idempotent.check().map_err(|error| invalid(format!("syntax error, {error}")))?;
        self.idempotent = Some(idempotent);
        Ok(true)
    }
}

pub(super) fn xtrim(args: &[&[u8]]) -> Result<Command> {
    let mut said = Said::default();
    let mut options = Options::new(&args[2..]);
    while let Some(option) = options.next() {
        if !said.take(option, &mut options)? {
            return Err(invalid(SYNTAX));
        }
    }
    if said.trim.is_none() && said.limit.is_none_or(|limit| limit == 0) {
        return Err(invalid("syntax error, XTRIM must be called with a trimming strategy"));
    }
    let trim = said.trim()?.ok_or_else(|| invalid(SYNTAX))?;
    Ok(Command::XTrim { key: name(args[1])?, trim })
}
