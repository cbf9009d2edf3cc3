curl -X POST https://onepam.example.com/api/v1/change-events \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "title": "Deploy v2.4.1 to production",
    "type": "deployment",
    "environment": "production",
    "version": "v2.4.1",
    "commit_sha": "abc123def456"
  }'
