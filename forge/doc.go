// SPDX-License-Identifier: Apache-2.0

// Package forge speaks with the sites that host git repositories, over HTTP
// and without git: it receives their webhooks and posts commit statuses to
// them. GitHub, GitLab, and Gitea with its fork Forgejo are known.
//
// A [NewReceiver] says no more than "look again": a delivery that proves that
// it knows the secret and is about the watched ref leads to one call of
// ReceiverOptions.Notify. What was pushed is asked of the remote afterwards,
// never believed. A delivery without a good proof learns nothing and costs
// little.
//
//	http.Handle("/webhook", forge.NewReceiver(forge.ReceiverOptions{
//		Secret: secret,
//		Watch:  forge.Watch{Ref: "main"},
//		Notify: func(forge.Push) { loop.Notify(reconcile.CauseWebhook) },
//	}))
//
// A [Reporter] posts what became of a commit, from a goroutine of its own.
// [Reporter.Report] never waits, and a forge that does not answer disturbs
// nobody: what could not be posted is logged once.
//
//	r, err := forge.NewReporter(forge.ReporterOptions{
//		Kind: forge.GitHub, API: api, Project: "acme/infra", Token: token, Context: "reconcile/acme",
//	})
//	if err != nil { ... }
//	defer r.Close(ctx)
//	r.Report(forge.Status{Commit: commit, State: forge.Success, Description: "1 change, 7 unchanged"})
//
// Secrets and tokens are in no error, no log line and no answer.
package forge
