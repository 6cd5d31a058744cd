//! The environment as a source of settings: `GATEMETER_<SECTION>__<KEY>`.
//!
//! A variable with the prefix may be a setting, a misspelt setting, or foreign. A misspelt one
//! would silently leave the default in force, so it is refused with the correct name. Kubernetes
//! injects variables with this prefix into every container when a service is called `gatemeter` or
//! `gatemeter-..`: these are recognised by name and value, and ignored.

use std::net::IpAddr;

use super::ENV_PREFIX;
use super::layer::{Entry, Origin, Raw};
use super::rule::RULES;
use crate::error::Error;

/// Protocols of a port, as Kubernetes writes them into names and values.
const PROTOCOLS: [(&str, &str); 3] = [("TCP", "tcp"), ("UDP", "udp"), ("SCTP", "sctp")];

/// Whether a variable has the prefix, case-insensitive.
pub(super) fn is_ours(name: &str) -> bool {
    let head = name.as_bytes().get(..ENV_PREFIX.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(ENV_PREFIX.as_bytes()))
}

/// The entries of the environment: names with the prefix and with `__`.
///
/// # Errors
/// A misspelt variable.
pub(super) fn entries(env: &[(String, String)]) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for (name, value) in env {
        if !is_ours(name) {
            continue;
        }
        let rest = &name[ENV_PREFIX.len()..];
        let right = right_name(name);
        let is_right = right.as_deref() == Some(name);
        if !is_right && is_service_link(rest, value) {
            continue;
        }
        if let Some(right) = right.filter(|_| !is_right) {
            return Err(Error::ConfigVariable { name: name.clone(), right });
        }
        let Some((section, key)) = rest.split_once("__") else { continue };
        if !name.starts_with(ENV_PREFIX) {
            continue;
        }
        // Names are upper case; one in another case stays as it is, which is no path of a setting.
        let is_upper = !rest.bytes().any(|byte| byte.is_ascii_lowercase());
        let path = format!("{section}.{key}").to_ascii_lowercase();
        entries.push(Entry {
            path: if is_upper { path } else { rest.to_owned() },
            raw: Raw::Untyped(value.clone()),
            origin: Origin::Environment { name: name.clone() },
        });
    }
    Ok(entries)
}

/// The variable of the setting that has the same letters and digits, if there is one.
fn right_name(name: &str) -> Option<String> {
    let squeezed = |name: &str| -> String {
        let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        letters.map(|letter| char::from(letter.to_ascii_uppercase())).collect()
    };
    let wanted = squeezed(name);
    RULES.iter().map(|(path, _)| variable(path)).find(|right| squeezed(right) == wanted)
}

/// The variable of a setting.
pub(super) fn variable(path: &str) -> String {
    format!("{ENV_PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}

/// Whether Kubernetes injects a variable of this name, behind the prefix, with this value: for a
/// service `X` it is `X_SERVICE_HOST`, `X_SERVICE_PORT`, `X_SERVICE_PORT_<port>`, `X_PORT`,
/// `X_PORT_<n>_TCP` and this with `_PROTO`, `_PORT` and `_ADDR`.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(rest: &str, value: &str) -> bool {
    let is_address = value.parse::<IpAddr>().is_ok();
    let is_port = value.parse::<u16>().is_ok();
    let is_url = PROTOCOLS
        .iter()
        .any(|(_, word)| value.strip_prefix(word).is_some_and(|place| place.starts_with("://")));
    let ends = |end: &str| {
        rest.strip_suffix(end).is_some_and(|front| front.is_empty() || front.ends_with('_'))
    };
    if ends("SERVICE_HOST") {
        return is_address;
    }
    if ends("SERVICE_PORT") || rest.starts_with("SERVICE_PORT_") || rest.contains("_SERVICE_PORT_")
    {
        return is_port;
    }
    if ends("PORT") && is_url {
        return true;
    }
    let parts: Vec<&str> = rest.split('_').collect();
    let is_of_port = |parts: &[&str]| match parts {
        [.., "PORT", number, protocol] => {
            number.parse::<u16>().is_ok() && PROTOCOLS.iter().any(|(name, _)| name == protocol)
        }
        _ => false,
    };
    match parts.split_last() {
        Some((&"PROTO", front)) => {
            is_of_port(front) && PROTOCOLS.iter().any(|(_, word)| *word == value)
        }
        Some((&"PORT", front)) => is_of_port(front) && is_port,
        Some((&"ADDR", front)) => is_of_port(front) && is_address,
        _ => is_of_port(&parts) && is_url,
    }
}
