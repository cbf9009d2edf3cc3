// What a deployment, a configuration change, a rotated secret, an incident and a
// rollback look like. ../README.md says how to run it against your server.

import { ImmutableClient } from "getimmutable";

const client = new ImmutableClient({
  apiKey: "imk_sk_a1b2c3d4e5f6g7h8i9j0",
  baseUrl: "http://127.0.0.1:8080",
});

// Deployment started
await client
  .actor("ci_github_actions", { name: "GitHub Actions", type: "ci_system" })
  .track("deployment.started", "service", {
    service: "api-gateway",
    environment: "production",
    region: "us-east-1",
    git_sha: "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0",
    git_branch: "main",
    git_tag: "v2.14.0",
    pr_number: 1847,
    deployer: "deploy-bot",
    previous_version: "v2.13.2",
    rollback_sha: "f0e9d8c7b6a5948372615a4b3c2d1e0f9a8b7c6d",
  });

// Configuration changed
await client
  .actor("eng_k4m8p2", { name: "Priya Sharma", type: "engineer" })
  .session("sess_b2c3d4e5")
  .track("config.changed", "service", {
    service: "api-gateway",
    environment: "production",
    config_key: "rate_limit.requests_per_minute",
    old_value: "1000",
    new_value: "2000",
    change_reason: "Scaling for product launch traffic",
    jira_ticket: "OPS-2847",
  });

// Secret rotated
await client
  .actor("system_vault", { name: "HashiCorp Vault", type: "secret_manager" })
  .track("secret.rotated", "secret", {
    secret_path: "production/database/primary",
    secret_type: "database_credential",
    rotation_reason: "scheduled_90day",
    previous_version: 14,
    new_version: 15,
    affected_services: ["api-gateway", "worker-service", "admin-panel"],
  });

// Incident created
await client
  .actor("system_pagerduty", { name: "PagerDuty", type: "alerting" })
  .track("incident.created", "incident", {
    incident_id: "inc_8f3a2c1d",
    severity: "critical",
    title: "API latency spike — p99 > 5s",
    affected_services: ["api-gateway"],
    triggered_by: "datadog_monitor_29481",
    on_call: "eng_k4m8p2",
  });

// Rollback executed
await client
  .actor("eng_k4m8p2", { name: "Priya Sharma", type: "engineer" })
  .session("sess_f8a9b0c1")
  .track("deployment.rollback", "service", {
    service: "api-gateway",
    environment: "production",
    rolled_back_from: "v2.14.0",
    rolled_back_to: "v2.13.2",
    rollback_sha: "f0e9d8c7b6a5948372615a4b3c2d1e0f9a8b7c6d",
    incident_id: "inc_8f3a2c1d",
    rollback_reason: "Memory leak in new connection pooling code",
    downtime_minutes: 12,
  });
