#!/bin/sh
# What a deployment, a configuration change, a rotated secret, an incident and a
# rollback look like.
# The server and the key are in the environment: URL and KEY.
set -eu

# Deployment started
curl -sS --fail-with-body -X POST "$URL/api/v1/events" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
  "actor_id": "ci_github_actions",
  "actor_name": "GitHub Actions",
  "actor_type": "ci_system",
  "action": "deployment.started",
  "resource": "service",
  "resource_id": "api-gateway",
  "resource_name": "API Gateway",
  "metadata": {
    "environment": "production",
    "region": "us-east-1",
    "git_sha": "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0",
    "git_branch": "main",
    "git_tag": "v2.14.0",
    "pr_number": 1847,
    "deployer": "deploy-bot",
    "previous_version": "v2.13.2",
    "rollback_sha": "f0e9d8c7b6a5948372615a4b3c2d1e0f9a8b7c6d"
  }
}'

# Configuration changed
curl -sS --fail-with-body -X POST "$URL/api/v1/events" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
  "actor_id": "eng_k4m8p2",
  "actor_name": "Priya Sharma",
  "actor_type": "engineer",
  "session_id": "sess_b2c3d4e5",
  "action": "config.changed",
  "resource": "service",
  "resource_id": "api-gateway",
  "resource_name": "API Gateway",
  "metadata": {
    "environment": "production",
    "config_key": "rate_limit.requests_per_minute",
    "old_value": "1000",
    "new_value": "2000",
    "change_reason": "Scaling for product launch traffic",
    "jira_ticket": "OPS-2847"
  }
}'

# Secret rotated
curl -sS --fail-with-body -X POST "$URL/api/v1/events" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
  "actor_id": "system_vault",
  "actor_name": "HashiCorp Vault",
  "actor_type": "secret_manager",
  "action": "secret.rotated",
  "resource": "secret",
  "resource_id": "production/database/primary",
  "metadata": {
    "secret_type": "database_credential",
    "rotation_reason": "scheduled_90day",
    "previous_version": 14,
    "new_version": 15,
    "affected_services": ["api-gateway", "worker-service", "admin-panel"]
  }
}'

# Incident created
curl -sS --fail-with-body -X POST "$URL/api/v1/events" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
  "actor_id": "system_pagerduty",
  "actor_name": "PagerDuty",
  "actor_type": "alerting",
  "action": "incident.created",
  "resource": "incident",
  "resource_id": "inc_8f3a2c1d",
  "metadata": {
    "severity": "critical",
    "title": "API latency spike — p99 > 5s",
    "affected_services": ["api-gateway"],
    "triggered_by": "datadog_monitor_29481",
    "on_call": "eng_k4m8p2"
  }
}'

# Rollback executed
curl -sS --fail-with-body -X POST "$URL/api/v1/events" \
  -H "Authorization: Bearer $KEY" \
  -H "Content-Type: application/json" \
  -d '{
  "actor_id": "eng_k4m8p2",
  "actor_name": "Priya Sharma",
  "actor_type": "engineer",
  "session_id": "sess_f8a9b0c1",
  "action": "deployment.rollback",
  "resource": "service",
  "resource_id": "api-gateway",
  "resource_name": "API Gateway",
  "metadata": {
    "environment": "production",
    "rolled_back_from": "v2.14.0",
    "rolled_back_to": "v2.13.2",
    "rollback_sha": "f0e9d8c7b6a5948372615a4b3c2d1e0f9a8b7c6d",
    "incident_id": "inc_8f3a2c1d",
    "rollback_reason": "Memory leak in new connection pooling code",
    "downtime_minutes": 12
  }
}'
