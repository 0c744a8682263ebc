//! The OpenAPI document: it has every route, and its schemas fit what really crosses the wire.

mod support;

use serde_json::Value;
use support::{Served, events, migration, plan, spec};

fn document() -> Value {
    serde_json::to_value(api::document()).unwrap()
}

/// Every path and method. Who adds a route adds it here; who loses one breaks somebody's client.
const ROUTES: &str = "\
delete /v1/clusters/{cluster}
delete /v1/clusters/{cluster}/members/{member}
delete /v1/hosts/{host}
delete /v1/limits
delete /v1/lisp/mappings/{eid}
delete /v1/lisp/sites/{site}
get /v1
get /v1/clouds
get /v1/clouds/{cloud}
get /v1/clusters
get /v1/clusters/{cluster}
get /v1/clusters/{cluster}/members/{member}/security
get /v1/dns
get /v1/endpoints
get /v1/events
get /v1/hosts
get /v1/hosts/{host}
get /v1/hosts/{host}/domains
get /v1/hosts/{host}/flows
get /v1/limits
get /v1/lisp/mappings
get /v1/lisp/mappings/{eid}
get /v1/lisp/sites
get /v1/migrations
get /v1/migrations/{id}
get /v1/openapi.json
get /v1/problems/{kind}
get /v1/topology
get /v1/trace
get /v1/underlay
get /v1/vms
post /v1/dns/publish
post /v1/hosts/{host}/key
post /v1/join-tokens
post /v1/migrations
post /v1/migrations/{id}/cancel
post /v1/migrations/{id}/pause
post /v1/migrations/{id}/resume
post /v1/migrations/{id}/rollback
post /v1/plans
put /v1/clusters/{cluster}
put /v1/clusters/{cluster}/members/{member}
put /v1/clusters/{cluster}/members/{member}/security
put /v1/endpoints/{cluster}/{member}/locator
put /v1/limits
put /v1/lisp/mappings/{eid}
put /v1/lisp/sites/{site}
";

#[test]
fn the_document_has_exactly_the_routes_that_we_promise() {
    let document = document();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            routes.push(format!("{method} {path}\n"));
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
            assert!(
                operation["operationId"].is_string(),
                "{method} {path} has no id"
            );
        }
    }
    routes.sort();
    assert_eq!(routes.concat(), ROUTES);
}

#[tokio::test]
async fn the_document_is_served_and_every_reference_in_it_leads_somewhere() {
    let served = Served::start().await;
    let document = served.client.openapi().await.unwrap();
    assert_eq!(document, self::document());
    let mut all = Vec::new();
    references(&document, &mut all);
    assert!(all.len() > 30);
    for reference in all {
        assert!(
            document.pointer(&reference[1..]).is_some(),
            "{reference} leads nowhere"
        );
    }
}

fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(keys) => {
            into.extend(keys.get("$ref").and_then(Value::as_str).map(str::to_owned));
            keys.values().for_each(|value| references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn what_crosses_the_wire_fits_its_schema() {
    let served = Served::start().await;
    let client = &served.client;
    let document = document();
    let fits = |name: &str, value: Value| {
        let schema = &document["components"]["schemas"][name];
        assert!(!schema.is_null(), "there is no schema {name}");
        if let Err(error) = fit(&document, schema, &value) {
            panic!("{name}: {error}\n{value:#}");
        }
    };
    let json = |value: &dyn erased::Json| value.json();
    fits("About", json(&client.about().await.unwrap()));
    fits("Site", json(&client.sites().await.unwrap()[0]));
    fits("Host", json(&client.hosts().await.unwrap()[0]));
    let host = support::name("north-1");
    fits("Found", json(&client.domains(&host).await.unwrap()[0]));
    fits(
        "Cluster",
        json(&client.cluster(&support::name("shop")).await.unwrap()),
    );
    fits("ClusterSpec", json(&spec()));
    fits("Vm", json(&client.vms().await.unwrap()[0]));
    fits("Endpoint", json(&client.endpoints().await.unwrap()[0]));
    fits("Topology", json(&client.topology(0).await.unwrap()));
    let flows = client.flows(&host, &support::asked()).await.unwrap();
    fits("Flows", json(&flows));
    assert_eq!(flows.rules.len(), 2);
    let trace = client.trace(&support::question()).await.unwrap();
    fits("Trace", json(&trace));
    assert!(trace.there.reaches && !trace.back.unwrap().reaches);
    fits(
        "Placed",
        json(
            &client
                .link(&support::name("shop"), &support::host_member())
                .await
                .unwrap(),
        ),
    );
    let site = &client.lisp_sites().await.unwrap()[0];
    fits("LispSite", json(site));
    let mapping = &client.lisp_mappings(Some("[7]10.0.0.1/32")).await.unwrap()[0];
    fits("LispMapping", json(mapping));
    assert_eq!(&client.lisp_mapping(&mapping.eid).await.unwrap(), mapping);
    fits("JoinToken", json(&client.join_token().await.unwrap()));
    fits("Plan", json(&plan()));
    fits(
        "Migration",
        json(&migration(model::migration::State::PreCopy)),
    );
    fits("Problem", json(&api::Problem::internal("A fault.")));
    let limits: model::limits::Limits = serde_json::from_str(
        r#"{"uplink": {"at_once": 2, "mbit": 150.5}, "sites": {"south": {}}, "windows": {"south": ["22:00/04:00"]}}"#,
    )
    .unwrap();
    assert_eq!(client.set_limits(Some(&limits)).await.unwrap(), limits);
    fits("Limits", json(&client.limits().await.unwrap()));
    for event in events() {
        fits("Event", json(&event));
    }
    use model::migration::{FlipOrder, State};
    let states = [
        State::Queued,
        State::Preparing,
        State::PreCopy,
        State::Hold,
        State::Armed,
        State::Switchover,
        State::Verify,
        State::CleanUp,
        State::Arrived,
        State::Aborting,
        State::Aborted,
        State::Failed,
    ];
    states
        .iter()
        .for_each(|state| fits("MigrationState", json(state)));
    let orders = [
        FlipOrder::BeforeStop,
        FlipOrder::PreSwitchover,
        FlipOrder::AfterResume,
        FlipOrder::Redirect,
    ];
    orders
        .iter()
        .for_each(|order| fits("FlipOrder", json(order)));
}

mod erased {
    pub(crate) trait Json {
        fn json(&self) -> serde_json::Value;
    }
    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

/// Holds a value against a schema, both ways: what is required is there, and what is there is
/// described. Knows what our document uses.
fn fit(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document
            .pointer(&reference[1..])
            .ok_or(format!("{reference} is missing"))?;
        return fit(document, target, value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let one = choices
            .iter()
            .any(|choice| fit(document, choice, value).is_ok());
        return if one {
            Ok(())
        } else {
            Err(format!("{value} fits none of {schema}"))
        };
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts: Vec<&Value> = parts.iter().map(|part| resolve(document, part)).collect();
        let known: Vec<&str> = parts.iter().flat_map(|part| properties(part)).collect();
        all_known(&known, value)?;
        return parts
            .iter()
            .try_for_each(|part| members(document, part, value));
    }
    if let Some(allowed) = schema["enum"].as_array() {
        return if allowed.contains(value) {
            Ok(())
        } else {
            Err(format!("{value} is none of {allowed:?}"))
        };
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let type_of = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types
        .iter()
        .any(|one| *one == type_of || (one == "number" && type_of == "integer"))
    {
        return Err(format!("{value} is {type_of}, the schema says {types:?}"));
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| fit(document, &schema["items"], item)),
        Value::Object(keys) if schema["additionalProperties"].is_object() => keys
            .values()
            .try_for_each(|value| fit(document, &schema["additionalProperties"], value)),
        Value::Object(_) => {
            all_known(&properties(schema), value)?;
            members(document, schema, value)
        }
        _ => Ok(()),
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    schema["$ref"]
        .as_str()
        .and_then(|to| document.pointer(&to[1..]))
        .unwrap_or(schema)
}

fn properties(schema: &Value) -> Vec<&str> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}

fn all_known(known: &[&str], value: &Value) -> Result<(), String> {
    let keys = value.as_object().ok_or("not an object")?;
    match keys.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("'{key}' is not described")),
        None => Ok(()),
    }
}

fn members(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for required in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if value.get(required).is_none() {
            return Err(format!("'{required}' is missing"));
        }
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(key) {
            fit(document, schema, value).map_err(|error| format!("{key}: {error}"))?;
        }
    }
    Ok(())
}
