// SPDX-License-Identifier: Apache-2.0

// Package dispatch brings requests to instances and to task agents.
//
// A [Router] is an http.Handler for one path below which every instance has its own:
//
//	/mcps                   the instances, as JSON
//	/mcps/INSTANCE/PATH  →  /mcp/PATH of the instance
//	/mcps/INSTANCE/mcp   →  /mcp
//	/mcps/INSTANCE       →  /mcp
//
// It knows neither containers nor their runtime: which instances there are, which
// of them are ready and where they listen is told to it, and looked at anew for
// each request. What it answers itself is JSON, with [ErrorHeader] set.
//
// A [Dispatcher] is an http.Handler for task agents, and runs their schedules: a
// fresh container for each request, of the revision that was ready when it came.
//
//	/agents/NAMESPACE/NAME[/…]              that agent
//	X-Clrk-TaskAgent: NAMESPACE/NAME        that agent, on any path
//
// The request becomes a CloudEvent, which the process reads from stdin or gets at
// the metadata service; what it writes to stdout, or posts there, is the answer.
// Containers come from a [Runtime], logs and outcomes go to a [Journal], which
// [OpenFolder] has on disk, and which agents there are is told by [Dispatcher.Set]:
//
//	d := dispatch.NewDispatcher(dispatch.DispatcherOptions{Runtime: …, Journal: dispatch.OpenFolder(dir)})
//	d.Set(agents)
//	go d.Run(ctx)
//	http.Serve(l, dispatch.Ingress{System: …, Router: router, Agents: d})
//
// Nothing of an execution is left when [Dispatcher.Run] returns; what a killed one
// leaves, the next sweeps before it takes a request.
package dispatch
