//! Prints the OpenAPI document: `./x openapi` writes it to docs/openapi.json.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(adjutant::http::openapi::text().as_bytes())
}
