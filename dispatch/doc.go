// SPDX-License-Identifier: Apache-2.0

// Package dispatch brings requests to instances. A [Router] is an http.Handler
// for one path below which every instance has its own:
//
//	/mcps                   the instances, as JSON
//	/mcps/INSTANCE/PATH  →  /mcp/PATH of the instance
//	/mcps/INSTANCE/mcp   →  /mcp
//	/mcps/INSTANCE       →  /mcp
//
// It knows neither containers nor their runtime: which instances there are, which
// of them are ready and where they listen is told to it, and looked at anew for
// each request. What it answers itself is JSON, with [ErrorHeader] set.
package dispatch
