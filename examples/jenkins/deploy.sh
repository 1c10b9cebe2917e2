#!/bin/sh
# A build job that deploys: it asks, waits while people decide, and goes on only if the change was made.
#
#   SERVICE=web REF=v42 BUILD_TAG=jenkins-deploy-42 sh examples/jenkins/deploy.sh
#
# With COUNTERSIGN_API_URL and COUNTERSIGN_API_TOKEN it asks a gateway over HTTP; else it opens COUNTERSIGN_HOME.
# Started again with the same BUILD_TAG it comes back to the same request: nothing is asked or deployed twice.
set -eu

: "${SERVICE:?name a registered service}" "${REF:?name a branch, tag or commit}"
: "${BUILD_TAG:?name this build, so that a restarted job asks nothing twice}"

# They go into JSON: whatever is no name stays outside.
case "$SERVICE$REF" in
  *[!A-Za-z0-9._/@-]*) echo "SERVICE and REF are names of letters, digits and . _ / @ -" >&2; exit 2 ;;
esac

status=0
${COUNTERSIGN:-countersign} request deploy_service \
  --args "{\"service\":\"$SERVICE\",\"ref\":\"$REF\"}" \
  --justification "${JUSTIFICATION:-build $BUILD_TAG}" \
  --call-id "$BUILD_TAG" \
  --wait --timeout "${TIMEOUT:-30m}" || status=$?

case $status in
  0) echo "Deployed $REF to $SERVICE." ;;
  3) echo "Nobody has decided yet. Start this job again to go on waiting." >&2 ;;
  4) echo "Refused by the policy or the gateway; the reason stands above." >&2 ;;
  5) echo "A person said no; their words stand above." >&2 ;;
  6) echo "Nobody answered in time." >&2 ;;
  7) echo "It failed, and nothing was changed." >&2 ;;
  8) echo "Nobody knows whether it ran: stop here, and have somebody look." >&2 ;;
  9) echo "The world changed, or the request was taken back: build again." >&2 ;;
  *) echo "countersign itself failed ($status)." >&2 ;;
esac
exit $status
