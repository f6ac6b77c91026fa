// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/reconcile/plan"
	"reconcile/workspace"
)

func newGraphCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "graph [WORKSPACE]",
		Short:   "Show which instances enable which: text, dot, mermaid or json",
		Example: `  reconcile graph -o dot | dot -Tsvg >graph.svg`,
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeWorkspace(cmd, args); err != nil {
				return err
			}
			if err := a.check("text", "dot", "mermaid", "json"); err != nil {
				return err
			}
			src, err := a.load(cmd.Context(), reachHost)
			if err != nil {
				return err
			}
			a.printDiagnostics(src.Diagnostics)
			switch a.output {
			case "json":
				err = a.printJSON(graphForm(src.Graph))
			case "dot":
				writeDot(a.std.out, src.Graph)
			case "mermaid":
				writeMermaid(a.std.out, src.Graph)
			default:
				var b strings.Builder
				writeGraph(&b, a.styleFor(a.std.out), src.Graph)
				_, err = io.WriteString(a.std.out, a.plainText(b.String()))
			}
			if err == nil && src.Fatal {
				return exitWith(plan.ExitFault)
			}
			return err
		},
	}
}

// graphJSON is the graph's JSON form.
type graphJSON struct {
	Nodes []nodeJSON `json:"nodes"`
	Edges []edgeJSON `json:"edges"`
}

type nodeJSON struct {
	ID      plan.ID `json:"id"`
	Name    string  `json:"name"`
	Agent   string  `json:"agent"` // "" for what is no manifest agent
	Repo    string  `json:"repo"`
	Mode    string  `json:"mode"` // "", global or devel
	Origin  string  `json:"origin"`
	Blocked bool    `json:"blocked"`
}

// edgeJSON is one enable entry; From is "" for the workspace file.
type edgeJSON struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Entry   string   `json:"entry"`
	Origin  string   `json:"origin"`
	NoWait  bool     `json:"no_wait"`
	Dropped bool     `json:"dropped"`
	Cycle   []string `json:"cycle,omitempty"`
}

func graphForm(g *workspace.Graph) graphJSON {
	out := graphJSON{Nodes: []nodeJSON{}, Edges: []edgeJSON{}}
	for _, n := range g.Nodes {
		out.Nodes = append(out.Nodes, nodeJSON{n.ID, n.Name, n.Agent, n.Repo, string(n.Mode), n.Origin.String(), n.Blocked})
	}
	for _, e := range g.Edges {
		out.Edges = append(out.Edges, edgeJSON{e.From, e.To, e.Text, e.Origin.String(), e.NoWait, e.Cycle != nil, e.Cycle})
	}
	return out
}

// edgeNote says what is special about an edge.
func edgeNote(e workspace.Edge) string {
	switch {
	case e.Cycle != nil:
		return "dropped: closes a cycle"
	case e.NoWait:
		return "no-wait"
	}
	return ""
}

// writeGraph prints a tree from each entry of the workspace file, and from each
// object that none refers to; what was opened before is not opened again.
func writeGraph(w io.Writer, s style, g *workspace.Graph) {
	edges := map[string][]workspace.Edge{}
	used := map[string]bool{}
	for _, e := range g.Edges {
		edges[e.From] = append(edges[e.From], e)
		used[e.To] = true
	}
	opened := map[string]bool{}
	var walk func(name, indent string)
	walk = func(name, indent string) {
		opened[name] = true
		for i, e := range edges[name] {
			branch, deeper := "├─ ", "│  "
			if i == len(edges[name])-1 {
				branch, deeper = "└─ ", "   "
			}
			note := edgeNote(e)
			if note != "" {
				note = " (" + note + ")"
			}
			again := opened[e.To] && len(edges[e.To]) > 0 && e.Cycle == nil
			if again {
				note += " …"
			}
			fmt.Fprintf(w, "%s%s%s%s%s\n", indent, branch, escape(e.To), s.yellow(note), origin(s, e.Origin.String()))
			if !again && e.Cycle == nil {
				walk(e.To, indent+deeper)
			}
		}
	}
	for _, e := range edges[""] {
		fmt.Fprintf(w, "%s%s\n", s.bold(escape(e.To)), origin(s, e.Origin.String()))
		if !opened[e.To] {
			walk(e.To, "")
		}
	}
	for _, n := range g.Nodes {
		if n.ID.Kind != plan.Manifest && !used[n.ID.String()] {
			fmt.Fprintf(w, "%s%s\n", s.bold(escape(n.ID.String())), origin(s, n.Origin.String()))
			walk(n.ID.String(), "")
		}
	}
}

// nodeName tells an instance, which edges name, from an object of the same name.
func nodeName(n workspace.Node) string {
	if n.ID.Kind == plan.Manifest {
		return n.Name
	}
	return n.ID.String()
}

func writeDot(w io.Writer, g *workspace.Graph) {
	fmt.Fprintln(w, "digraph workspace {")
	for _, n := range g.Nodes {
		fmt.Fprintf(w, "  %s;\n", dotQuote(nodeName(n)))
	}
	for _, e := range g.Edges {
		if e.From == "" {
			continue
		}
		attr := ""
		switch {
		case e.Cycle != nil:
			attr = ` [style=dotted, color=red, label="dropped"]`
		case e.NoWait:
			attr = ` [style=dashed, label="no-wait"]`
		}
		fmt.Fprintf(w, "  %s -> %s%s;\n", dotQuote(e.From), dotQuote(e.To), attr)
	}
	fmt.Fprintln(w, "}")
}

func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(escape(s)) + `"`
}

func writeMermaid(w io.Writer, g *workspace.Graph) {
	fmt.Fprintln(w, "graph TD")
	nodes := map[string]string{}
	for i, n := range g.Nodes {
		nodes[nodeName(n)] = fmt.Sprintf("n%d", i)
		fmt.Fprintf(w, "  n%d[\"%s\"]\n", i, strings.ReplaceAll(escape(nodeName(n)), `"`, "#quot;"))
	}
	node := func(name string) string {
		if nodes[name] == "" { // part of a task, and no node of its own
			nodes[name] = fmt.Sprintf("n%d", len(nodes))
			fmt.Fprintf(w, "  %s[\"%s\"]\n", nodes[name], strings.ReplaceAll(escape(name), `"`, "#quot;"))
		}
		return nodes[name]
	}
	for _, e := range g.Edges {
		if e.From == "" {
			continue
		}
		arrow := "-->"
		switch {
		case e.Cycle != nil:
			arrow = "-. dropped .->"
		case e.NoWait:
			arrow = "-. no-wait .->"
		}
		from, to := node(e.From), node(e.To)
		fmt.Fprintf(w, "  %s %s %s\n", from, arrow, to)
	}
}
