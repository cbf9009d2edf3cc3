# Terraform: tell whatchanged what an apply has changed.
#
# 1. whatchanged keys create terraform --scope changes:write
# 2. Set WHATCHANGED_URL and WHATCHANGED_KEY where terraform runs; the key is
#    taken from there and so is in no state file.
# 3. Use this folder as a module, after what you change:
#
#      module "tell_whatchanged" {
#        source   = "./terraform"
#        summary  = "Resize the workers of the shop"
#        triggers = { workers = aws_autoscaling_group.workers.desired_capacity }
#      }
#
# It runs when a trigger changes, needs curl, and lets an apply that could not
# tell go on. No provider is needed: terraform_data is Terraform's own (1.4).

terraform {
  required_version = ">= 1.4"
}

variable "summary" {
  description = "What was changed, in one line."
  type        = string
}

variable "triggers" {
  description = "What is told of when it changes; its values are kept with the change, so nothing secret belongs here."
  type        = map(string)
}

variable "environment" {
  description = "The environment that was changed."
  type        = string
  default     = "production"
}

resource "terraform_data" "tell_whatchanged" {
  triggers_replace = var.triggers

  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-c"]
    on_failure  = continue
    environment = {
      IDEMPOTENCY_KEY = "terraform:${self.id}"
      CHANGE = jsonencode({
        summary     = var.summary
        change_type = "infrastructure"
        status      = "succeeded"
        environment = var.environment
        source      = "terraform"
        external_id = self.id
        metadata    = { workspace = terraform.workspace, triggers = var.triggers }
      })
    }
    command = <<-EOT
      curl -sS -f --retry 4 --max-time 30 "$WHATCHANGED_URL/api/v1/changes" \
        -H "Authorization: Bearer $WHATCHANGED_KEY" \
        -H "Content-Type: application/json" \
        -H "Idempotency-Key: $IDEMPOTENCY_KEY" \
        --data-binary "$CHANGE"
    EOT
  }
}
