#!/usr/bin/env bash
# Rolls everything out, in six steps. Safe to run again: what is as it should be is left alone.
set -euo pipefail
export LC_ALL=C

usage() {
  cat << 'EOF'
usage: k8s/deploy.sh [options]
  --overlay NAME       development, production (the default) or redis-sentinel
  --namespace NAME     tollkeeper by default
  --secrets FILE       k8s/secrets.env by default; secrets.example.env says what it holds
  --timeout SECONDS    how long each wait may take; 600 by default
  --skip-monitoring    without ServiceMonitors, alerts and dashboards
  --dry-run            render, check on the server, say what would change, and change nothing

The kubectl context that is current decides where to. PROXY_URL is where Kong is called for the checks at the end; by
default the balancer's address, or else a port that kubectl forwards.
EOF
}

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly ROOT STEPS=6
# A Job's template can't be changed: one that differs is replaced.
readonly JOBS=(kong-migrations kong-configuration kong-migrations-finish)
# What the files say stands, also where somebody has undone a roll-out or changed a field by hand since.
readonly SERVER_SIDE=(--server-side --force-conflicts --field-manager=deploy.sh)
readonly REQUIRED=(POSTGRES_PASSWORD REDIS_PASSWORD KONG_REDIS_PASSWORD KEY_PEPPER GATEWAY_SECRET VERIFY_KEY)
# More calls than the tier free lets through at once.
readonly BURST=260
overlay=production namespace=tollkeeper secrets=$ROOT/secrets.env timeout=600 monitoring=true dry_run=false
step=0 step_name="" step_start=0 explained=false work="" forward=""

main() {
  ((BASH_VERSINFO[0] >= 5)) || wrong "this is bash $BASH_VERSION; install 5 or later"
  parse "$@"
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  begin "preflight"
  preflight
  if $dry_run; then
    rehearse
    return
  fi
  begin "namespace, configuration, secrets"
  apply namespace policies config secrets
  begin "PostgreSQL and migrations"
  apply postgres
  rolled_out statefulset/postgres
  run_job kong-migrations
  begin "Redis and the app"
  apply redis kong-redis app
  rolled_out statefulset/redis deployment/kong-redis deployment/fingerprint-api
  if [[ $overlay == redis-sentinel ]]; then rolled_out statefulset/redis-sentinel; fi
  begin "Kong and its configuration"
  apply kong
  rolled_out deployment/kong
  run_job kong-configuration
  run_job kong-migrations-finish
  begin "monitoring and verification"
  if $monitoring; then apply monitoring; fi
  if $monitoring; then rolled_out deployment/blackbox-exporter; fi
  verify
  end_step
  echo "all is up in namespace $namespace"
}

parse() {
  while (($# > 0)); do
    case $1 in
      --dry-run) dry_run=true ;;
      --skip-monitoring) monitoring=false ;;
      --overlay | --namespace | --secrets | --timeout)
        [[ ${2:-} ]] || wrong "$1 needs a value"
        printf -v "${1#--}" '%s' "$2"
        shift
        ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) wrong "there is no option $1" ;;
    esac
    shift
  done
  [[ -f $ROOT/overlays/$overlay/kustomization.yaml ]] ||
    wrong "--overlay is $overlay; it may be development, production or redis-sentinel"
  [[ $namespace =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] ||
    wrong "--namespace is $namespace; it may be letters a-z, digits and - between them, 63 at most"
  [[ ! $namespace =~ ^(default|kube-.*)$ ]] || wrong "--namespace is $namespace, which is the cluster's own; name another"
  [[ $timeout =~ ^[1-9][0-9]{0,5}$ ]] || wrong "--timeout is $timeout; it may be a number of seconds, 1 to 999999"
}

wrong() {
  echo "deploy.sh: $1" >&2
  usage >&2
  exit 2
}

# ── Steps ──

begin() {
  end_step
  step=$((step + 1)) step_name=$1 step_start=$SECONDS
  echo "step $step/$STEPS: $step_name"
}

end_step() {
  ((step == 0)) || echo "  done in $((SECONDS - step_start)) s"
}

say() {
  echo "  $*"
}

# fail WHAT-WAS-SEEN WHAT-TO-DO
fail() {
  explain "failed" "$@"
  exit 1
}

# explain HOW-IT-ENDED WHAT-WAS-SEEN WHAT-TO-DO
explain() {
  explained=true
  {
    echo
    echo "step $step ($step_name) $1 after $((SECONDS - step_start)) s"
    echo "  saw:  ${2//$'\n'/$'\n'        }"
    echo "  do:   ${3//$'\n'/$'\n'        }"
  } >&2
}

# attempt WHAT-TO-DO COMMAND...: runs it silently; what it printed is shown if it fails.
attempt() {
  local advice=$1 output
  shift
  output=$("$@" 2>&1) || fail "$output" "$advice"
}

# Says what nothing else has said, and leaves no secret lying about.
finish() {
  local code=$? command=$BASH_COMMAND
  if ((code != 0 && step > 0)) && ! $explained; then
    case $code in
      130 | 143) explain "was interrupted" "a signal" "run it again: what is done is left alone" ;;
      *) explain "failed" "$command: exit code $code" "see what it printed above, mend that, and run this again" ;;
    esac
  fi
  [[ -z $forward ]] || { kill "$forward" && wait "$forward"; } 2> /dev/null || true
  [[ -z $work ]] || rm -rf "$work"
}

k() {
  kubectl --namespace "$namespace" "$@"
}

# ── 1: preflight ──

preflight() {
  local tool version crd
  for tool in kubectl curl diff; do
    command -v "$tool" > /dev/null || fail "$tool is not installed" "install $tool"
  done
  attempt "see that kubectl's current context is the cluster you mean, and that it answers: kubectl cluster-info" \
    kubectl get --raw /readyz
  version=$(kubectl version -o yaml | awk '/^serverVersion:/ { server = 1 } server && /minor:/ { gsub(/[^0-9]/, "", $2); print $2 }')
  ((version >= 30)) || fail "the cluster is Kubernetes 1.$version" "upgrade it to 1.30 or later"
  say "context $(kubectl config current-context), Kubernetes 1.$version, namespace $namespace, overlay $overlay"
  if $monitoring; then
    for crd in servicemonitors prometheusrules probes; do
      kubectl get "crd/$crd.monitoring.coreos.com" > /dev/null 2>&1 ||
        fail "the cluster has no $crd.monitoring.coreos.com" "install the Prometheus operator, or use --skip-monitoring"
    done
    say "the Prometheus operator's kinds are there"
  fi
  check_secrets
  render
  check_redis
}

check_secrets() {
  local line name value missing=()
  [[ -f $secrets ]] || fail "there is no file $secrets" "copy k8s/secrets.example.env to it and fill it in"
  declare -gA secret=()
  while IFS= read -r line || [[ $line ]]; do
    [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
    [[ $line =~ ^([A-Z_]+)=(.*)$ ]] || fail "$secrets has a line that is not NAME=VALUE" "mend it; values go without quotes"
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]%$'\r'}
    [[ " ${REQUIRED[*]} GATEWAY_SECRET_PREVIOUS " == *" $name "* ]] ||
      fail "$secrets has $name, which nothing reads" "take it out; secrets.example.env has what there is"
    secret[$name]=$value
  done < "$secrets"
  for name in "${REQUIRED[@]}"; do
    [[ ${secret[$name]:-} ]] || missing+=("$name")
  done
  ((${#missing[@]} == 0)) || fail "$secrets lacks ${missing[*]}" "fill each in: openssl rand -hex 24"
  for name in "${!secret[@]}"; do
    [[ -z ${secret[$name]} || ${secret[$name]} =~ ^[A-Za-z0-9_-]{32,}$ ]] ||
      fail "$name in $secrets can't be used (its value is not shown)" \
        "it may be 32 or more letters, digits, - and _: openssl rand -hex 24"
  done
  say "secrets: ${#REQUIRED[@]} of ${#REQUIRED[@]} are there and sound"
}

check_redis() {
  local ready
  ready=$(k get statefulset/redis -o 'jsonpath={.status.readyReplicas}/{.spec.replicas}' 2> /dev/null) || {
    say "Redis is not there yet; step 4 makes it"
    return
  }
  if [[ ${ready%/*} == "${ready#*/}" ]]; then
    say "Redis is ready ($ready)"
  else
    say "Redis is not all ready (${ready/#\//0/}); step 4 waits for it"
  fi
}

# Renders the overlay with its secrets, and what watches it, for this namespace.
render() {
  umask 077
  work=$(mktemp -d "$ROOT/.deploy.XXXXXX")
  mkdir "$work/monitoring"
  secrets_of postgres-credentials "password=${secret[POSTGRES_PASSWORD]}"
  secrets_of redis-credentials "password=${secret[REDIS_PASSWORD]}"
  secrets_of kong-redis-credentials "password=${secret[KONG_REDIS_PASSWORD]}"
  secrets_of app-credentials "key-pepper=${secret[KEY_PEPPER]}" "gateway-secret=${secret[GATEWAY_SECRET]}" \
    ${secret[GATEWAY_SECRET_PREVIOUS]:+"gateway-secret-previous=${secret[GATEWAY_SECRET_PREVIOUS]}"}
  secrets_of gateway-credentials "gateway-secret=${secret[GATEWAY_SECRET]}" "verify-key=${secret[VERIFY_KEY]}"
  printf 'X-API-Key: %s\nContent-Type: application/json\n' "${secret[VERIFY_KEY]}" > "$work/fields"
  render_into "$namespace" "$work/manifests.yaml"
  say "rendered $(grep -c '^kind:' "$work/manifests.yaml") objects"
}

# secrets_of NAME KEY=VALUE...
secrets_of() {
  printf '%s\n' "${@:2}" > "$work/$1.env"
}

# render_into NAMESPACE FILE
render_into() {
  local name
  {
    echo "namespace: \"$1\""
    echo "resources: [../overlays/$overlay]"
    # The names end in a hash, so that a new secret rolls the pods that have it, and no others.
    echo "secretGenerator:"
    for name in postgres redis kong-redis app gateway; do
      echo "  - name: $name-credentials"
      echo "    envs: [$name-credentials.env]"
      echo "    options: {labels: {app.kubernetes.io/component: secrets, app.kubernetes.io/part-of: tollkeeper}}"
    done
  } > "$work/kustomization.yaml"
  attempt "mend k8s/overlays/$overlay: npm run check:k8s says more" build "$work" "$2"
  if $monitoring; then
    cat > "$work/monitoring/kustomization.yaml" << EOF
namespace: "$1"
resources: [../../../monitoring]
patches:
  - target: {kind: Probe}
    patch: |
      - {op: replace, path: /spec/prober/url, value: "blackbox-exporter.$1.svc:9115"}
      - {op: replace, path: /spec/targets/staticConfig/static, value: ["http://kong-admin.$1.svc:8001/status"]}
      - {op: replace, path: /spec/targets/staticConfig/labels/namespace, value: "$1"}
EOF
    attempt "mend monitoring/: npm run check:k8s says more" build "$work/monitoring" "$work/monitoring.yaml"
    { echo "---" && cat "$work/monitoring.yaml"; } >> "$2"
  fi
}

build() {
  kubectl kustomize "$1" > "$2"
}

# ── Applying and waiting ──

# apply COMPONENT...
apply() {
  local component output changed
  for component in "$@"; do
    output=$(k apply "${SERVER_SIDE[@]}" --filename="$work/manifests.yaml" \
      --selector="app.kubernetes.io/component=$component" 2>&1) || fail "$output" "npm run check:k8s"
    changed=$(grep -c 'serverside-applied' <<< "$output" || true)
    say "$component: $changed objects applied"
  done
}

# rolled_out KIND/NAME...
rolled_out() {
  local workload output
  for workload in "$@"; do
    output=$(k rollout status "$workload" --timeout="${timeout}s" 2>&1) ||
      fail "$output
$(k get pods --selector="app.kubernetes.io/name=${workload#*/}" 2>&1)" \
        "kubectl --namespace $namespace describe pods --selector app.kubernetes.io/name=${workload#*/}
kubectl --namespace $namespace logs $workload --all-containers --tail 50
back to what was: kubectl --namespace $namespace rollout undo $workload"
    say "$workload is rolled out"
  done
}

# run_job COMPONENT: one that is as it should be and has not failed is left alone.
run_job() {
  local job state deadline=$((SECONDS + timeout))
  job=$(job_of "$1")
  state=$(state_of "$job")
  if differs manifests "app.kubernetes.io/component=$1" || [[ $state == *Fail* ]]; then
    attempt "kubectl --namespace $namespace describe job $job" \
      k delete job "$job" --ignore-not-found --wait --timeout="${timeout}s"
    apply "$1"
    state=$(state_of "$job")
  else
    say "job $job is as it was"
  fi
  while [[ $state != *Complete* ]]; do
    if [[ $state == *Fail* ]] || ((SECONDS > deadline)); then
      fail "job $job: ${state:-not complete after $timeout s}
$(k logs "job/$job" --tail=20 --pod-running-timeout=1s 2>&1)" "kubectl --namespace $namespace describe job $job
mend what it says, and run this again: the job is made anew"
    fi
    sleep 1
    state=$(state_of "$job")
  done
  say "job $job is complete"
}

# job_of COMPONENT: its name.
job_of() {
  k create --dry-run=client --output=name --filename="$work/manifests.yaml" \
    --selector="app.kubernetes.io/component=$1" | sed -n 's/^job\.batch\///p'
}

# state_of JOB: how it has ended, or nothing.
state_of() {
  k get job "$1" --ignore-not-found \
    -o 'jsonpath={range .status.conditions[?(@.status=="True")]}{.type}: {.message}{"\n"}{end}'
}

# differs RENDERING SELECTOR: whether the server would change any of these, or refuse to; what, is in differences then.
differs() {
  local code=0
  KUBECTL_EXTERNAL_DIFF="diff -u -N" k diff "${SERVER_SIDE[@]}" --filename="$work/$1.yaml" --selector="$2" \
    > "$work/differences" 2>&1 || code=$?
  ((code > 0))
}

# ── Dry run ──

# Checks everything on the server, and says what would change. Objects of a namespace that does not exist yet can't be
# checked in it, and Jobs can't be changed in it, so these are checked as if they were to go to the namespace default.
rehearse() {
  local job changes="" component=app.kubernetes.io/component of_jobs
  of_jobs="in ($(IFS=, && echo "${JOBS[*]}"))"
  render_into default "$work/elsewhere.yaml"
  rehearse_apply manifests "$component=namespace"
  if kubectl get namespace "$namespace" > /dev/null 2>&1; then
    rehearse_apply manifests "$component not$of_jobs"
    rehearse_apply elsewhere "$component $of_jobs"
    if differs manifests "$component not$of_jobs"; then
      changes=$(sed -n 's/^diff -u -N .*\/\([^ ]*\)$/\1/p' "$work/differences")
      [[ $changes ]] || fail "$(cat "$work/differences")" "npm run check:k8s"
    fi
    for job in "${JOBS[@]}"; do
      if differs manifests "$component=$job"; then
        changes+=${changes:+$'\n'}"job $(job_of "$job"), made anew"
      fi
    done
    say "would change: ${changes:-nothing}"
  else
    rehearse_apply elsewhere "$component!=namespace"
    say "would make: namespace $namespace and all of the above"
  fi
  end_step
  echo "dry run: nothing was changed"
}

# rehearse_apply RENDERING SELECTOR
rehearse_apply() {
  attempt "npm run check:k8s" \
    kubectl apply "${SERVER_SIDE[@]}" --dry-run=server --filename="$work/$1.yaml" --selector="$2"
}

# ── 6: verification through the proxy ──

verify() {
  local url=${PROXY_URL:-} status deadline=$((SECONDS + timeout))
  [[ $url ]] || proxy_url
  say "calling $url"
  # Kong's workers learn of a new configuration within seconds.
  until status=$(call -H "@$work/fields") && [[ $status == 200 ]]; do
    ((SECONDS < deadline)) || fail "a call with a key is answered with ${status:-nothing}, not 200" \
      "kubectl --namespace $namespace logs job/kong-configuration
kubectl --namespace $namespace logs deployment/kong --tail 50"
    sleep 1
  done
  say "with a key: 200"
  status=$(call -H 'Content-Type: application/json') || true
  [[ $status == 401 ]] || fail "a call without a key is answered with ${status:-nothing}, not 401" \
    "see that kong.yaml has key-auth with the anonymous consumer, whose request-termination says 401"
  say "without a key: 401"
  burst
}

proxy_url() {
  local address port=""
  address=$(k get service/kong-proxy -o 'jsonpath={.status.loadBalancer.ingress[0].ip}{.status.loadBalancer.ingress[0].hostname}')
  if [[ $address ]]; then
    if [[ $address == *:* ]]; then address="[$address]"; fi
    url=http://$address
    return
  fi
  # On a port that is free, and not on one where somebody else might be told the key. Not by k: what is ended is kubectl, and
  # not the subshell that a function runs in.
  kubectl --namespace "$namespace" port-forward service/kong-proxy :80 > "$work/forward" 2>&1 &
  forward=$!
  until [[ $port ]]; do
    if ! kill -0 "$forward" 2> /dev/null || ((SECONDS > deadline)); then
      fail "Kong can't be called from here: $(cat "$work/forward")" "say where it is: PROXY_URL=http://… k8s/deploy.sh"
    fi
    sleep 1
    port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$work/forward")
  done
  url=http://127.0.0.1:$port
}

# call CURL-OPTION...: prints the status of one call.
call() {
  curl --silent --output /dev/null --max-time 10 --write-out '%{http_code}' "$@" --data "$BODY" "$url/v1/identify"
}

readonly BODY='{"fingerprint":{"tls":{"ja4":"t13d1517h2_8daaf6152771_cb7bf5808d99"}}}'

# One call after another on one connection, until past what the tier holds: denied by the app, which says its policy.
burst() {
  local answers
  answers=$(curl --silent --output /dev/null --dump-header - --max-time 60 -H "@$work/fields" --data "$BODY" \
    "$url/v1/identify?call=[1-$BURST]" | awk '
      BEGIN { count[200] = 0 }
      /^HTTP\// { status = $2; count[status]++ }
      tolower($1) == "ratelimit-policy:" && status == 429 && /"minute"/ { denied = 1 }
      END {
        for (status in count) printf "%d times %s\n", count[status], status
        if (denied) print "denied by the app"
      }') || true
  if [[ $answers != *"denied by the app"* ]]; then
    fail "of $BURST calls none was denied by the app:
$answers" "see that Kong's X-Gateway-Auth is the app's RATE_LIMIT_GATEWAY_SECRET, and that the tier free has a limit"
  fi
  say "past the burst: 429, after $(sed -n 's/ times 200$//p' <<< "$answers") more calls"
}

main "$@"
