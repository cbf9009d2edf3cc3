{{/*
What the chart knows of each service; one line makes another service, with an
entry in values.yaml and in values.schema.json.
  store:    works with ClickHouse, and so with the schema that migrate makes
  outside:  reaches others on port 443 (certificates of signatures, log files, accounts)
  first:    makes the first org when it is given the bootstrap key and token, and signs people in
  path:     what the Ingress sends to it
  consumer: the bus consumer whose backlog says that more pods are needed
*/}}
{{- define "whatchanged.services" -}}
receiver: {store: false, outside: true, first: false, path: /api/webhooks/, consumer: ""}
normalizer: {store: true, outside: true, first: false, path: "", consumer: normalizer-fresh}
writer: {store: true, outside: false, first: false, path: "", consumer: writer}
api: {store: true, outside: true, first: true, path: /, consumer: ""}
{{- end }}

{{- define "whatchanged.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that select the pods of a component; they never change. Takes (list root component). */}}
{{- define "whatchanged.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "whatchanged.labels" -}}
{{- $root := index . 0 -}}
{{ include "whatchanged.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | quote }}
{{- end }}

{{- define "whatchanged.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "whatchanged.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* The image, by its digest when that is known. Takes (list root suffix). */}}
{{- define "whatchanged.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image -}}
{{ .repository }}:{{ .tag | default $root.Chart.AppVersion }}{{ index $ 1 }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* A setting's value as the environment has it. Numbers of a values file come as floats. */}}
{{- define "whatchanged.setting" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if kindIs "float64" . }}{{ if eq . (floor .) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- else }}{{ . }}
{{- end }}
{{- end }}

{{/* The settings of config, under that of one service, as variables. Takes (list root own). */}}
{{- define "whatchanged.settings" -}}
{{- $root := index . 0 -}}
{{- $all := mergeOverwrite (deepCopy $root.Values.config) (deepCopy (index . 1)) -}}
{{- range $section, $settings := $all }}
{{- range $key, $value := $settings }}
- name: {{ printf "WHATCHANGED_%s_%s" $section $key | upper }}
  value: {{ include "whatchanged.setting" $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* A variable from a Secret. Takes (list variable secret key). */}}
{{- define "whatchanged.secret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef: {name: {{ index . 1 | quote }}, key: {{ index . 2 | quote }}}
{{- end }}

{{/* Passwords or credentials files: bundled servers know passwords. */}}
{{- define "whatchanged.natsAuth" -}}
{{- ternary "password" .Values.nats.auth.method .Values.nats.bundled.enabled }}
{{- end }}

{{/* How a process reaches the bus. Takes (list root who), who being a key of nats.auth.keys. */}}
{{- define "whatchanged.busEnv" -}}
{{- $root := index . 0 -}}
{{- $who := index . 1 -}}
{{- $user := ternary "admin" $who (eq $who "migrate") -}}
{{- $full := include "whatchanged.fullname" $root -}}
{{- $method := include "whatchanged.natsAuth" $root -}}
{{- with $root.Values.nats -}}
- name: WHATCHANGED_BUS_URL
{{- if .bundled.enabled }}
  value: {{ range $i := until 3 }}{{ if $i }},{{ end }}nats://{{ $full }}-nats-{{ $i }}.{{ $full }}-nats:4222{{ end }}
{{- else }}
  value: {{ .url | quote }}
{{- end }}
{{- if and .bundled.enabled (not (dig "bus" "max_bytes" "" $root.Values.config)) }}
- name: WHATCHANGED_BUS_MAX_BYTES # with what follows from it, the streams take five sixths of the volume
  value: {{ div (include "whatchanged.bytes" .bundled.storage.size | int64) 2 | quote }}
{{- end }}
{{- if eq $method "password" }}
- name: WHATCHANGED_BUS_USER
  value: {{ $user }}
{{ include "whatchanged.secret" (list "WHATCHANGED_BUS_PASSWORD" .auth.name (index .auth.keys $who)) }}
{{- else if eq $method "credentials" }}
- name: WHATCHANGED_BUS_CREDENTIALS_FILE
  value: /etc/whatchanged/nats/service.creds
{{- end }}
{{- if .tls.name }}
- name: WHATCHANGED_BUS_CA_FILE
  value: /etc/whatchanged/nats-tls/ca.crt
{{- if .tls.clientCertificate }}
- name: WHATCHANGED_BUS_CERT_FILE
  value: /etc/whatchanged/nats-tls/tls.crt
- name: WHATCHANGED_BUS_KEY_FILE
  value: /etc/whatchanged/nats-tls/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The files that busEnv names. Takes (list root who). */}}
{{- define "whatchanged.busMounts" -}}
{{- $root := index . 0 -}}
{{- if eq (include "whatchanged.natsAuth" $root) "credentials" }}
- {name: nats-credentials, mountPath: /etc/whatchanged/nats, readOnly: true}
{{- end }}
{{- if $root.Values.nats.tls.name }}
- {name: nats-tls, mountPath: /etc/whatchanged/nats-tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "whatchanged.busVolumes" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.nats -}}
{{- if eq (include "whatchanged.natsAuth" $root) "credentials" }}
- name: nats-credentials
  secret:
    secretName: {{ .auth.name }}
    defaultMode: 0440
    items:
      - {key: {{ index .auth.keys (index $ 1) | quote }}, path: service.creds}
{{- end }}
{{- if .tls.name }}
- name: nats-tls
  secret:
    secretName: {{ .tls.name }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end }}

{{/* Takes (list root who), who being a key of clickhouse.dsn.keys. */}}
{{- define "whatchanged.storeEnv" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.clickhouse -}}
{{- if .bundled.enabled }}
{{ include "whatchanged.secret" (list "CLICKHOUSE_PASSWORD" .bundled.auth.name .bundled.auth.key) }}
- name: WHATCHANGED_STORE_DSN
  value: clickhouse://whatchanged:$(CLICKHOUSE_PASSWORD)@{{ include "whatchanged.fullname" $root }}-clickhouse:9000
{{- else }}
{{ include "whatchanged.secret" (list "WHATCHANGED_STORE_DSN" .dsn.name (index .dsn.keys (index $ 1))) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What every process of the program has. Takes (list root own goMemoryLimit first). */}}
{{- define "whatchanged.commonEnv" -}}
{{- $root := index . 0 -}}
{{- with $root.Values -}}
- name: WHATCHANGED_LISTEN
  value: ":8080"
- name: WHATCHANGED_ADMIN_LISTEN
  value: ":9090"
- name: WHATCHANGED_DRAIN_DELAY
  value: {{ int .pod.drainSeconds }}s
- name: WHATCHANGED_API_PUBLIC_URL
  value: {{ .publicUrl | quote }}
- name: GOMEMLIMIT
  value: {{ index $ 2 }}
{{- include "whatchanged.settings" (list $root (index $ 1)) }}
{{- if .secrets.masterKey.name }}
{{ include "whatchanged.secret" (list "WHATCHANGED_MASTER_KEY" .secrets.masterKey.name .secrets.masterKey.key) }}
{{- end }}
{{- if index $ 3 }}
{{- with .secrets.bootstrap }}
{{- if .name }}
{{ include "whatchanged.secret" (list "WHATCHANGED_BOOTSTRAP_API_KEY" .name .apiKey) }}
{{ include "whatchanged.secret" (list "WHATCHANGED_BOOTSTRAP_TOKEN" .name .token) }}
{{- end }}
{{- end }}
{{- if .secrets.oidc.name }}
{{ include "whatchanged.secret" (list "WHATCHANGED_OIDC_CLIENT_SECRET" .secrets.oidc.name .secrets.oidc.key) }}
{{- end }}
{{- end }}
{{- with .pod.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Nobody's user, no privileges, nothing to write to but volumes. */}}
{{- define "whatchanged.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
automountServiceAccountToken: false
enableServiceLinks: false # they would be variables under the program's own prefix, and unknown to it
{{- end }}

{{- define "whatchanged.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Spread over zones and nodes where that can be had. Takes (list root component). */}}
{{- define "whatchanged.spread" -}}
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "whatchanged.selector" $ | nindent 8 }}
{{- end }}
{{- end }}

{{- define "whatchanged.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Ports and probes of a process of the program. The admin listener opens first and closes
     last: a start that waits or repairs is alive and not ready, and so is a stop that drains. */}}
{{- define "whatchanged.probes" -}}
ports:
  - {name: http, containerPort: 8080}
  - {name: admin, containerPort: 9090}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 3
  timeoutSeconds: 5
  failureThreshold: 1
{{- end }}

{{/* A pod of the program. Takes (list root component). */}}
{{- define "whatchanged.podMetadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "whatchanged.labels" . | nindent 2 }}
  {{- with $root.Values.pod.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.pod.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The consumers' backlog, as the writers show it. */}}
{{- define "whatchanged.lagMetric" -}}
whatchanged_bus_consumer_pending_frames
{{- end }}

{{/* Waiting for traffic to move away, then stopping. */}}
{{- define "whatchanged.grace" -}}
terminationGracePeriodSeconds: {{ add (int .Values.pod.drainSeconds) (int .Values.pod.stopSeconds) }}
{{- end }}

{{/* A size such as 20Gi in bytes. */}}
{{- define "whatchanged.bytes" -}}
{{- mul (regexFind "^[0-9]+" . | int64) (ternary 1099511627776 1073741824 (hasSuffix "Ti" .)) }}
{{- end }}
