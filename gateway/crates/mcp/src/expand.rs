//! `${VAR}`, `${VAR:-default}` and `${env:VAR}` inside configured texts. The caller owns the lookup:
//! this crate never reads the environment.

pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces every variable, or answers what is wrong with each of them. A `${` without its end is
/// plain text. Values are not expanded again: a secret that contains `${` stays as it is.
pub(crate) fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, Vec<String>> {
    let mut out = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        out.push_str(&rest[..start]);
        match value(&rest[start + 2..start + length], lookup) {
            Ok(value) => out.push_str(&value),
            Err(fault) => faults.push(fault),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

fn value(inside: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let inside = inside.strip_prefix("env:").unwrap_or(inside);
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if !plain {
        return Err(format!("`${{{inside}}}` is no variable that can be expanded here"));
    }
    match (lookup(name), default) {
        // As in a shell: `:-` also stands in for an empty value.
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the variable {name} is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("s3cret".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${TOKEN}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced() {
        let cases = [
            ("plain", "plain"),
            ("Bearer ${TOKEN}", "Bearer s3cret"),
            ("${env:TOKEN}/${TOKEN}", "s3cret/s3cret"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${NONE:-}", ""),
            ("${EMPTY}|${EMPTY:-x}", "|x"),
            ("${NESTED}", "${TOKEN}"),
            ("$TOKEN ${unclosed", "$TOKEN ${unclosed"),
            ("ä${TOKEN}ö", "äs3cretö"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &lookup).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_missing_variable_is_named() {
        let faults = expand("${A} ${TOKEN} ${B} ${input:key}", &lookup).unwrap_err();
        assert_eq!(
            faults,
            [
                "the variable A is not set",
                "the variable B is not set",
                "`${input:key}` is no variable that can be expanded here"
            ]
        );
    }
}
