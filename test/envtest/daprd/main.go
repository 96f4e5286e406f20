// Command daprd is Dapr's runtime for the tests: the upstream flags and life, with the few components that they use.
//
// Upstream's own main takes in more than a hundred components by build tags, which is minutes of compiling. What stays
// as it is there, because tests rely on it: a SIGHUP ends one runtime and starts the next in the same process (that is how
// Dapr takes a changed HTTPEndpoint), and a runtime that fails ends the process with code 1. There is no mDNS, which
// would listen beyond loopback: to call an HTTPEndpoint the --config file names the resolver `nameformat`.
package main

import (
	"context"
	"fmt"
	"os"

	"go.opencensus.io/stats/view"

	"github.com/dapr/components-contrib/bindings/http"
	"github.com/dapr/components-contrib/middleware"
	"github.com/dapr/components-contrib/middleware/http/oauth2clientcredentials"
	"github.com/dapr/components-contrib/nameresolution/nameformat"
	memorypubsub "github.com/dapr/components-contrib/pubsub/in-memory"
	"github.com/dapr/components-contrib/secretstores/local/file"
	memorystate "github.com/dapr/components-contrib/state/in-memory"
	"github.com/dapr/dapr/cmd/daprd/options"
	"github.com/dapr/dapr/pkg/buildinfo"
	"github.com/dapr/dapr/pkg/components/bindings"
	httpmiddleware "github.com/dapr/dapr/pkg/components/middleware/http"
	"github.com/dapr/dapr/pkg/components/nameresolution"
	"github.com/dapr/dapr/pkg/components/pubsub"
	"github.com/dapr/dapr/pkg/components/secretstores"
	"github.com/dapr/dapr/pkg/components/state"
	"github.com/dapr/dapr/pkg/healthz"
	"github.com/dapr/dapr/pkg/metrics"
	pipeline "github.com/dapr/dapr/pkg/middleware"
	"github.com/dapr/dapr/pkg/modes"
	"github.com/dapr/dapr/pkg/runtime"
	"github.com/dapr/dapr/pkg/runtime/registry"
	"github.com/dapr/dapr/pkg/security"
	"github.com/dapr/kit/concurrency"
	"github.com/dapr/kit/logger"
	"github.com/dapr/kit/signals"
)

var log = logger.NewLogger("dapr.runtime")

func main() {
	flags, err := options.New(os.Args[1:])
	if err != nil {
		log.Fatalf("Cannot read the flags: %v", err)
	}
	if flags.RuntimeVersion {
		fmt.Println(buildinfo.Version())
		return
	}
	flags.Logger.SetAppID(flags.AppID)
	if err := logger.ApplyOptionsToLoggers(&flags.Logger); err != nil {
		log.Fatal(err)
	}
	for life := range signals.OnHUP(signals.Context()) {
		if err := live(life, flags); err != nil {
			log.Fatalf("Fatal error from runtime: %s", err)
		}
		if life.Err() == nil {
			return // it ended by itself, as /v1.0/shutdown asks for
		}
	}
}

// live is one runtime, from start to end.
func live(ctx context.Context, flags *options.Options) error {
	health := healthz.New()
	keeper, err := security.New(ctx, security.Options{
		AppID:                   flags.AppID,
		ControlPlaneNamespace:   flags.ControlPlaneNamespace,
		ControlPlaneTrustDomain: flags.ControlPlaneTrustDomain,
		Healthz:                 health,
		Mode:                    modes.DaprMode(flags.Mode),
	})
	if err != nil {
		return err
	}
	sidecar := func(ctx context.Context) error {
		handler, err := keeper.Handler(ctx)
		if err != nil {
			return err
		}
		config := configOf(flags)
		config.Security, config.Healthz, config.Registry = handler, health, components()
		config.Metrics = metrics.Options{
			Enabled:   false,
			Healthz:   health,
			Log:       log,
			Meter:     view.NewMeter(),
			Namespace: metrics.DefaultMetricNamespace,
		}
		daprd, err := runtime.FromConfig(ctx, config)
		if err != nil {
			return err
		}
		return daprd.Run(ctx)
	}
	return concurrency.NewRunnerManager(keeper.Run, sidecar).Run(ctx)
}

// configOf takes over the flags that mean something without Kubernetes, actors, a scheduler and mTLS.
func configOf(flags *options.Options) *runtime.Config {
	return &runtime.Config{
		AllowedOrigins:                flags.AllowedOrigins,
		AppChannelAddress:             flags.AppChannelAddress,
		AppHealthCheckPath:            flags.AppHealthCheckPath,
		AppHealthProbeInterval:        flags.AppHealthProbeInterval,
		AppHealthProbeTimeout:         flags.AppHealthProbeTimeout,
		AppHealthThreshold:            flags.AppHealthThreshold,
		AppID:                         flags.AppID,
		AppMaxConcurrency:             flags.AppMaxConcurrency,
		AppProtocol:                   flags.AppProtocol,
		ApplicationPort:               flags.AppPort,
		ActorsDisseminationTimeout:    flags.ActorsDisseminationTimeout,
		ComponentsPath:                flags.ComponentsPath,
		Config:                        flags.Config,
		DaprAPIGRPCPort:               flags.DaprAPIGRPCPort,
		DaprAPIListenAddresses:        flags.DaprAPIListenAddresses,
		DaprBlockShutdownDuration:     flags.DaprBlockShutdownDuration,
		DaprGracefulShutdownSeconds:   flags.DaprGracefulShutdownSeconds,
		DaprHTTPPort:                  flags.DaprHTTPPort,
		DaprInternalGRPCListenAddress: flags.DaprInternalGRPCListenAddress,
		DaprInternalGRPCPort:          flags.DaprInternalGRPCPort,
		DaprPublicListenAddress:       flags.DaprPublicListenAddress,
		DaprPublicPort:                flags.DaprPublicPort,
		EnableAPILogging:              flags.EnableAPILogging,
		HotReloadReconcileInterval:    flags.HotReloadReconcileInterval,
		MaxRequestSize:                flags.MaxRequestSize,
		Mode:                          flags.Mode,
		ProfilePort:                   flags.ProfilePort,
		ReadBufferSize:                flags.ReadBufferSize,
		ResourcesPath:                 flags.ResourcesPath,
		SchedulerStreams:              flags.SchedulerJobStreams, // there is no scheduler, but none at all is refused
	}
}

// components are those that the tests name; every other type is "not registered", as with upstream's stablecomponents.
func components() *registry.Options {
	contrib := logger.NewLogger("dapr.contrib")

	stores := secretstores.NewRegistry()
	stores.Logger = contrib
	stores.RegisterComponent(file.NewLocalSecretStore, "local.file")

	states := state.NewRegistry()
	states.Logger = contrib
	states.RegisterComponent(memorystate.NewInMemoryStateStore, "in-memory")

	queues := pubsub.NewRegistry()
	queues.Logger = contrib
	queues.RegisterComponent(memorypubsub.New, "in-memory")

	outputs := bindings.NewRegistry()
	outputs.Logger = contrib
	outputs.RegisterOutputBinding(http.NewHTTP, "http")

	resolvers := nameresolution.NewRegistry()
	resolvers.Logger = contrib
	resolvers.RegisterComponent(nameformat.NewResolver, "nameformat")

	middlewares := httpmiddleware.NewRegistry()
	middlewares.Logger = log
	middlewares.RegisterComponent(func(log logger.Logger) httpmiddleware.FactoryMethod {
		return func(metadata middleware.Metadata) (pipeline.HTTP, error) {
			made := oauth2clientcredentials.NewOAuth2ClientCredentialsMiddleware(log)
			return made.GetHandler(context.Background(), metadata)
		}
	}, "oauth2clientcredentials")

	return registry.NewOptions().
		WithBindings(outputs).
		WithHTTPMiddlewares(middlewares).
		WithNameResolutions(resolvers).
		WithPubSubs(queues).
		WithSecretStores(stores).
		WithStateStores(states)
}
