//! As much of JSON Schema (draft 2020-12) as our schema file uses: `type`, `const`, `enum`,
//! `properties`, `required`, `items`, `prefixItems`, `minItems`, `maxItems`, `minimum`, `$ref`
//! into `$defs`. Anything else in the file is a fault, so nothing goes unchecked.

use serde_json::Value;

/// What of `value` does not fit; each with its place.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, schema, value, "", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else {
        faults.push(format!("{place}: the schema is no object"));
        return;
    };
    let mut fault = |text: String| faults.push(format!("{place}: {text}"));
    for (rule, wanted) in rules {
        let good = match rule.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            "$ref" | "properties" | "items" | "prefixItems" => continue,
            "type" => types(wanted).iter().any(|name| is(value, name)),
            "const" => value == wanted,
            "enum" => wanted.as_array().is_some_and(|all| all.contains(value)),
            "required" => value
                .as_object()
                .is_none_or(|object| types(wanted).iter().all(|name| object.contains_key(*name))),
            "minimum" => value
                .as_f64()
                .is_none_or(|v| v >= wanted.as_f64().unwrap_or(f64::NAN)),
            "minItems" => value
                .as_array()
                .is_none_or(|v| v.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value
                .as_array()
                .is_none_or(|v| v.len() as u64 <= wanted.as_u64().unwrap()),
            other => panic!("the schema uses '{other}', which this checker does not know"),
        };
        if !good {
            fault(format!("{rule} {wanted} refuses {value:.60}"));
        }
    }
    if let Some(name) = rules.get("$ref").and_then(Value::as_str) {
        let target = name.strip_prefix('#').and_then(|path| root.pointer(path));
        check(
            root,
            target.unwrap_or_else(|| panic!("{name} exists")),
            value,
            place,
            faults,
        );
    }
    if let (Some(known), Some(object)) = (rules.get("properties"), value.as_object()) {
        for (name, inner) in object {
            match known.get(name) {
                Some(schema) => check(root, schema, inner, &format!("{place}/{name}"), faults),
                None => faults.push(format!("{place}/{name}: the schema does not know it")),
            }
        }
    }
    if let Some(list) = value.as_array() {
        let prefix = rules.get("prefixItems").and_then(Value::as_array);
        let prefix = prefix.map_or(&[][..], Vec::as_slice);
        for (i, inner) in list.iter().enumerate() {
            if let Some(schema) = prefix.get(i).or(rules.get("items")) {
                check(root, schema, inner, &format!("{place}/{i}"), faults);
            }
        }
    }
}

fn types(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the schema names the type '{other}'"),
    }
}
